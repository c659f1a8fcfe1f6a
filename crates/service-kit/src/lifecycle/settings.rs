//! The settings of a service as a process.

use std::net::ToSocketAddrs;
use std::time::Duration;

use conf::Conf;

use crate::config::{millis, millis_within, timeout_millis};
use crate::health::ReadinessSettings;
use crate::telemetry::settings::TelemetrySettings;

/// Settings of every service.
#[derive(Clone, Debug, Conf)]
pub struct CommonSettings {
    /// Address to listen on, for the API and the management port; `0.0.0.0` in a container, `::` for
    /// IPv6 and IPv4
    #[conf(env, default_value = "127.0.0.1", value_parser = parse_host)]
    pub host: String,

    /// Logs and traces.
    #[conf(flatten)]
    pub telemetry: TelemetrySettings,

    /// Readiness probes.
    #[conf(flatten)]
    pub readiness: ReadinessSettings,

    // A restart is expensive and rarely helps, so a loop gets plenty of time.
    /// Time that a loop may be silent beyond its longest expected step before `/livez` fails, in
    /// milliseconds
    #[conf(env, default_value = "60000", value_parser = timeout_millis)]
    pub liveness_grace: Duration,

    /// Maximum duration of a stop, after `SHUTDOWN_DELAY`, before unfinished work is abandoned, in
    /// milliseconds
    #[conf(env, value_parser = timeout_millis, default_value = "10000")]
    pub shutdown_timeout: Duration,
}

/// Connection lifetime and shutdown delay of a service with an HTTP API.
#[derive(Clone, Copy, Debug, Conf)]
pub struct HttpServerSettings {
    /// Time after which an idle connection is closed, in milliseconds; must exceed the keep-alive
    /// of a proxy in front, which cannot retry a POST on a connection that the service has closed
    #[conf(env, default_value = "75000", value_parser = parse_keep_alive)]
    pub http_keep_alive: Duration,

    /// Age after which a connection is closed with its next response, so that new instances get
    /// their share of the load, in milliseconds; varies by up to 10% for each connection
    #[conf(env, default_value = "600000", value_parser = timeout_millis)]
    pub http_connection_max_age: Duration,

    /// Time for which the service accepts requests after SIGTERM, while load balancers notice that
    /// it is not ready, in milliseconds
    #[conf(env, default_value = "5000", value_parser = millis)]
    pub shutdown_delay: Duration,
}

/// The minimum is 1 s, because the clock of the web server has a resolution of 500 ms.
fn parse_keep_alive(text: &str) -> Result<Duration, String> {
    millis_within(1_000..=3_600_000)(text)
}

/// A host name must resolve at startup, because the service listens on its address.
fn parse_host(text: &str) -> Result<String, &'static str> {
    let known = (text, 0).to_socket_addrs().is_ok_and(|mut addresses| addresses.next().is_some());
    known.then(|| text.to_owned()).ok_or("must be an address, such as 127.0.0.1, 0.0.0.0 or ::1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::settings::LogFormat;

    fn parse(env: &[(&str, &str)]) -> Result<CommonSettings, String> {
        CommonSettings::try_parse_from(["service"], env.iter().copied())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn no_common_setting_is_required() {
        let settings = parse(&[]).unwrap();
        assert_eq!(settings.shutdown_timeout, Duration::from_secs(10));
        assert_eq!(settings.telemetry.log_format, LogFormat::Auto);
    }

    #[test]
    fn all_errors_are_reported_together() {
        let report =
            parse(&[("LOG_FORMAT", "xml"), ("SHUTDOWN_TIMEOUT", "0"), ("RUST_LOG", "a=b=c")])
                .unwrap_err();
        assert!(
            ["LOG_FORMAT", "SHUTDOWN_TIMEOUT", "RUST_LOG"].iter().all(|name| report.contains(name)),
            "{report}"
        );
    }

    #[test]
    fn a_host_is_an_address_or_a_resolvable_name() {
        for host in ["127.0.0.1", "0.0.0.0", "::1", "localhost"] {
            assert_eq!(parse_host(host).as_deref(), Ok(host));
        }
        for refused in ["nope.invalid", "127.0.0.1:80", "http://127.0.0.1", "a b"] {
            assert!(parse_host(refused).is_err(), "{refused}");
        }
    }
}
