//! The callbacks of librdkafka: its log lines are demoted to debug, authentication failures are
//! kept, and a client that has lost all brokers is marked.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::Statistics;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer as _};
use rdkafka::statistics::Broker;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::KafkaSettings;

/// While a broker is unavailable, librdkafka logs it many times a second. The loops log an outage
/// once, so librdkafka's own lines are logged at debug level (`RUST_LOG=librdkafka=debug`).
#[derive(Clone, Debug, Default)]
pub(crate) struct QuietContext {
    pub(crate) auth_failure: AuthFailure,
    /// Cancelled when the client has lost all brokers: it never connects again and must be
    /// replaced.
    pub(crate) lost: CancellationToken,
}

impl QuietContext {
    pub(crate) fn new(auth_failure: AuthFailure) -> Self {
        Self { auth_failure, lost: CancellationToken::new() }
    }

    /// Marks the client as lost if it has no broker left to connect to. A broker that starts or
    /// stops can respond with metadata that lists no brokers. librdkafka then removes all brokers,
    /// and sometimes never adds the bootstrap brokers again
    /// (<https://github.com/confluentinc/librdkafka/issues/5301>).
    pub(crate) fn observe_brokers(&self, statistics: &Statistics) {
        let can_connect = |broker: &Broker| ["configured", "learned"].contains(&&*broker.source);
        if !self.lost.is_cancelled() && !statistics.brokers.values().any(can_connect) {
            tracing::warn!(
                client = statistics.name,
                "the Kafka client has lost all brokers; replacing it"
            );
            self.lost.cancel();
        }
    }
}

impl ClientContext for QuietContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", ?level, facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        self.observe_brokers(&statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.auth_failure.observe(&error, reason);
        tracing::debug!(target: "librdkafka", %error, reason);
    }
}

const UNVERIFIED: &str = ": its certificate is not signed by a trusted CA (KAFKA_CA_FILE, or those of the \
                          system), or not for this host";

/// The last authentication failure that the client reported. Requests of a client that is not
/// authenticated only time out, which does not show that a password or a certificate is wrong.
#[derive(Clone, Debug, Default)]
pub(crate) struct AuthFailure(Arc<Mutex<Option<String>>>);

impl AuthFailure {
    /// Stores `reason` if the error is an authentication or TLS failure, on either side.
    pub(crate) fn observe(&self, error: &KafkaError, reason: &str) {
        use RDKafkaErrorCode as Code;
        if let Some(Code::Authentication | Code::SaslAuthenticationFailed | Code::SSL) =
            error.rdkafka_error_code()
        {
            // librdkafka's reason names the CA only, but a wrong host name fails in the same way.
            let unverified = reason.contains("certificate verify failed");
            let hint = if unverified { UNVERIFIED } else { "" };
            *self.lock() = Some(format!("{reason}{hint}"));
        }
    }

    /// The reason of the last failure, unless a record was acknowledged or read since.
    pub(crate) fn reason(&self) -> Option<String> {
        self.lock().clone()
    }

    /// Clears the failure, after a record was acknowledged or read.
    pub(crate) fn over(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Awaits `answer`. If it takes long, also checks whether the brokers authenticate this client. For
/// clients that do not report an authentication failure by themselves.
pub(crate) async fn or_auth_failure<T>(
    settings: &KafkaSettings,
    answer: impl Future<Output = T>,
) -> Result<T, String> {
    /// After this time the check starts. A healthy broker can take longer, too.
    const LONG: Duration = Duration::from_secs(2);
    let refused = async {
        tokio::time::sleep(LONG).await;
        find_auth_failure(settings).await
    };
    tokio::select! {
        answer = answer => Ok(answer),
        Some(reason) = refused => Err(reason),
    }
}

/// Probes until the brokers respond or reject the client, or the caller drops this future: a busy
/// broker can take many seconds to reject a client.
async fn find_auth_failure(settings: &KafkaSettings) -> Option<String> {
    let config = settings.client("auth-probe");
    let (sender, receiver) = oneshot::channel();
    tokio::task::spawn_blocking(move || {
        let client: BaseProducer<QuietContext> =
            config.create_with_context(QuietContext::default()).ok()?;
        while !sender.is_closed() {
            // The cluster id arrives with the first metadata. A client event, such as an
            // authentication failure, ends the poll early.
            let answered = client.client().fetch_cluster_id(Duration::ZERO).is_some();
            client.poll(Duration::from_millis(100));
            let auth_failure = client.context().auth_failure.reason();
            if answered || auth_failure.is_some() {
                return sender.send(auth_failure).ok();
            }
        }
        None
    });
    receiver.await.ok()?
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a client is lost that knows brokers from these sources.
    fn is_lost(sources: &[&str]) -> bool {
        let broker = |source: &&str| Broker { source: (*source).to_owned(), ..Broker::default() };
        let brokers = sources.iter().map(|source| ((*source).to_owned(), broker(source))).collect();
        let context = QuietContext::default();
        context.observe_brokers(&Statistics { brokers, ..Statistics::default() });
        context.lost.is_cancelled()
    }

    #[test]
    fn a_client_without_bootstrap_or_learned_brokers_is_lost() {
        assert!(!is_lost(&["internal", "configured"]));
        assert!(!is_lost(&["internal", "learned"]));
        assert!(is_lost(&["internal", "logical"]));
    }
}
