//! librdkafka's own voice, turned down, and what it says when a broker does not let it in.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer as _};
use tokio::sync::oneshot;

use crate::KafkaSettings;

/// While a broker is away, librdkafka reports it many times a second. The loops report an outage once, so the
/// library's own lines are kept for `RUST_LOG=librdkafka=debug`.
#[derive(Clone, Debug, Default)]
pub(crate) struct QuietContext {
    pub(crate) refusal: Refusal,
}

impl ClientContext for QuietContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        quiet_log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.refusal.observe(&error, reason);
        quiet_error(&error, reason);
    }
}

pub(crate) fn quiet_log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    tracing::debug!(target: "librdkafka", ?level, facility, message);
}

pub(crate) fn quiet_error(error: &KafkaError, reason: &str) {
    tracing::debug!(target: "librdkafka", %error, reason);
}

const UNVERIFIED: &str = ": its certificate is not signed by the CA that is trusted (KAFKA_CA_FILE, or those of the \
                          system), or not for this host";

/// Why the brokers did not let a client in, as it told last. What was to be done meanwhile just ends in a timeout, which
/// tells nobody that a password is wrong.
#[derive(Clone, Debug, Default)]
pub(crate) struct Refusal(Arc<Mutex<Option<String>>>);

impl Refusal {
    /// Notes what the client tells, if it is a refusal, by either side.
    pub(crate) fn observe(&self, error: &KafkaError, reason: &str) {
        use RDKafkaErrorCode as Code;
        if let Some(Code::Authentication | Code::SaslAuthenticationFailed | Code::SSL) =
            error.rdkafka_error_code()
        {
            // The client speaks of the CA alone.
            let unverified = reason.contains("certificate verify failed");
            let hint = if unverified { UNVERIFIED } else { "" };
            *self.lock() = Some(format!("{reason}{hint}"));
        }
    }

    /// The last one.
    pub(crate) fn reason(&self) -> Option<String> {
        self.lock().clone()
    }

    /// A broker has answered.
    pub(crate) fn over(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for `answer`, and where it takes long asks the brokers whether they let us in at all; for clients that do not
/// hear of it by themselves, and just stay silent.
pub(crate) async fn unless_refused<T>(
    settings: &KafkaSettings,
    answer: impl Future<Output = T>,
) -> Result<T, String> {
    /// Nothing is wrong with a broker that takes longer.
    const LONG: Duration = Duration::from_secs(2);
    let refused = async {
        tokio::time::sleep(LONG).await;
        refusal_of(settings).await
    };
    tokio::select! {
        answer = answer => Ok(answer),
        Some(reason) = refused => Err(reason),
    }
}

/// Asks until the brokers answer or refuse, or the caller stops waiting: a busy broker may take many seconds to refuse a
/// client.
async fn refusal_of(settings: &KafkaSettings) -> Option<String> {
    let config = settings.client("why");
    let (tell, told) = oneshot::channel();
    tokio::task::spawn_blocking(move || {
        let client: BaseProducer<QuietContext> =
            config.create_with_context(QuietContext::default()).ok()?;
        while !tell.is_closed() {
            // The id comes with the first metadata. Events of the client, such as a refusal, end the poll early.
            let answered = client.client().fetch_cluster_id(Duration::ZERO).is_some();
            client.poll(Duration::from_millis(100));
            let refusal = client.context().refusal.reason();
            if answered || refusal.is_some() {
                return tell.send(refusal).ok();
            }
        }
        None
    });
    told.await.ok()?
}
