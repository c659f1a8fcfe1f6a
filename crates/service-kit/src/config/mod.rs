//! Configuration from the environment, read once, with all errors reported together.
//!
//! Each service has one struct that derives [`conf::Conf`]. Its fields are the variables; their doc
//! comments are the texts of `--help` and of `docs/CONFIGURATION.md`. After an error the process ends
//! with [`EX_CONFIG`], so that a supervisor can distinguish a wrong setting from a crash.

pub mod credentials;
pub mod open_files;
pub mod usage;

use std::ffi::OsString;
use std::fmt::Display;
use std::net::ToSocketAddrs;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use conf::Conf;
use conf::introspection::ProgramOptionMeta;
use secrecy::SecretString;
use tracing_subscriber::filter::Targets;
use url::Url;

use crate::health::ReadinessSettings;
use crate::telemetry::trace_settings::TraceSettings;

/// The exit code for a wrong or missing setting (`EX_CONFIG` of BSD's `sysexits.h`).
pub const EX_CONFIG: u8 = 78;

/// Settings of every service.
#[derive(Clone, Debug, Conf)]
pub struct CommonSettings {
    /// Address to listen on, for the API and the management port; `0.0.0.0` in a container, `::` for
    /// IPv6 and IPv4
    #[conf(env, default_value = "127.0.0.1", value_parser = parse_host)]
    pub host: String,

    /// Log format: `json`, `text` or `auto` (`text` on a terminal, otherwise `json`)
    #[conf(env, default_value = "auto")]
    pub log_format: LogFormat,

    /// Log filter: a level, or directives such as `info,sales_api=debug`
    #[conf(env, default_value = "info,actix_server=warn", value_parser = parse_log_filter)]
    pub rust_log: Targets,

    /// Export and sampling of traces.
    #[conf(flatten)]
    pub traces: TraceSettings,

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

/// Format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// One JSON object a line.
    Json,
    /// Human-readable text.
    Text,
}

impl std::str::FromStr for LogFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err("must be auto, json or text"),
        }
    }
}

/// A value parser for whole numbers within bounds.
pub fn within<T>(bounds: RangeInclusive<T>) -> impl Fn(&str) -> Result<T, String>
where
    T: Display + FromStr + PartialOrd,
{
    move |text| {
        let number = text.parse().ok().filter(|number| bounds.contains(number));
        number.ok_or_else(|| {
            format!("must be a whole number from {} to {}", bounds.start(), bounds.end())
        })
    }
}

/// Reads a whole number within bounds.
pub fn number_in<T>(text: &str, bounds: RangeInclusive<T>) -> Result<T, String>
where
    T: Display + FromStr + PartialOrd,
{
    within(bounds)(text)
}

/// A value parser for durations within bounds, in milliseconds.
pub fn millis_within(bounds: RangeInclusive<u64>) -> impl Fn(&str) -> Result<Duration, String> {
    move |text| {
        let ms = text.parse().ok().filter(|ms| bounds.contains(ms)).map(Duration::from_millis);
        let (from, to) = (bounds.start(), bounds.end());
        ms.ok_or_else(|| format!("must be a whole number of milliseconds from {from} to {to}"))
    }
}

/// Reads a duration in milliseconds: zero to a day.
pub fn millis(text: &str) -> Result<Duration, String> {
    millis_within(0..=86_400_000)(text)
}

/// Reads a timeout or an interval in milliseconds: 10 ms to a day. A shorter one would only waste
/// CPU time.
pub fn timeout_millis(text: &str) -> Result<Duration, String> {
    millis_within(10..=86_400_000)(text)
}

/// Reads a secret that tokens are signed with. RFC 7518, section 3.2, requires the length of the
/// hash.
pub fn parse_jwt_secret(text: &str) -> Result<SecretString, &'static str> {
    if text.len() < 32 { Err("must be at least 32 bytes long") } else { Ok(text.into()) }
}

/// Connection lifetime and shutdown delay of a service with an HTTP API.
#[derive(Clone, Copy, Debug, Conf)]
pub struct IntakeSettings {
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

/// Joins the errors of checks that concern several settings, so that all errors are reported.
pub fn all_of(checks: &[(bool, &str)]) -> Result<(), String> {
    let errors: Vec<&str> =
        checks.iter().filter(|(holds, _)| !holds).map(|(_, error)| *error).collect();
    if errors.is_empty() { Ok(()) } else { Err(errors.join("; ")) }
}

/// Reads the port of a listener; 0 takes a free one.
pub fn parse_port(text: &str) -> Result<u16, String> {
    number_in(text, 0..=u16::MAX)
}

/// The check that the two ports of a service differ.
pub fn ports_differ(port: u16, management_port: u16) -> (bool, &'static str) {
    (port == 0 || port != management_port, "PORT and MANAGEMENT_PORT must differ")
}

/// Reads the base URL of an API. Adds a missing slash at the end, without which a join would
/// replace the last path segment.
pub fn parse_base_url(text: &str) -> Result<Url, String> {
    let mut url = Url::parse(text).map_err(|error| format!("is not a URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("must begin with http:// or https://".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must have neither a query nor a fragment: paths are added to it".to_owned());
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

/// A host name must resolve at startup, because the service listens on its address.
fn parse_host(text: &str) -> Result<String, &'static str> {
    let known = (text, 0).to_socket_addrs().is_ok_and(|mut addresses| addresses.next().is_some());
    known.then(|| text.to_owned()).ok_or("must be an address, such as 127.0.0.1, 0.0.0.0 or ::1")
}

/// Rejects what `Targets` misreads: an empty directive as everything, and a span as a target.
fn parse_log_filter(text: &str) -> Result<Targets, String> {
    let directives: Vec<_> = text.split(',').map(str::trim).filter(|it| !it.is_empty()).collect();
    if directives.is_empty() {
        return Err("must contain a level, such as info".to_owned());
    }
    if let Some(span) = directives.iter().find(|it| it.contains('[')) {
        return Err(format!("must filter by level and target, not by span: {span}"));
    }
    directives.join(",").parse().map_err(|error| format!("is not a log filter: {error}"))
}

/// Reads the process's arguments and environment. `Err` is the exit code, after the errors were
/// printed.
pub(crate) fn load<C: Conf>() -> Result<C, u8> {
    usage::parse(std::env::args_os(), environment()).map_err(|message| {
        message.print();
        if message.is_error { EX_CONFIG } else { 0 }
    })
}

/// The management port of an instance with this environment. Reads no other setting.
pub(crate) fn management_port<C: Conf>() -> Option<u16> {
    const NAME: &str = "MANAGEMENT_PORT";
    let set = std::env::var(NAME).ok().filter(|port| !port.is_empty());
    let default = || {
        let option = C::program_options()
            .find(|it| it.env_form().is_some_and(|name| name.to_string() == NAME))?;
        option.default_help_str().map(ToString::to_string)
    };
    set.or_else(default)?.parse().ok()
}

/// The environment variables that are set. An empty value counts as unset, because Compose and
/// Kubernetes pass `NAME=` for a variable without a value.
pub fn environment() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os().filter(|(_, value)| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    fn parse(env: &[(&str, &str)]) -> Result<CommonSettings, String> {
        CommonSettings::try_parse_from(["service"], env.iter().copied())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn no_common_setting_is_required() {
        let settings = parse(&[]).unwrap();
        assert_eq!(settings.shutdown_timeout, Duration::from_secs(10));
        assert_eq!(settings.log_format, LogFormat::Auto);
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
    fn a_log_filter_has_levels_and_targets() {
        let filter = parse_log_filter(" info, sales_api=debug ,").unwrap();
        assert!(filter.would_enable("sales_api", &Level::DEBUG));
        assert!(!filter.would_enable("hyper", &Level::DEBUG));
        for refused in [",", "a=b=c", "[order]=debug", "info,[order{id=1}]=debug"] {
            assert!(parse_log_filter(refused).is_err(), "{refused}");
        }
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

    #[test]
    fn paths_can_be_joined_to_a_base_url() {
        for (text, joined) in [
            ("http://127.0.0.1:3001", "http://127.0.0.1:3001/availability"),
            ("https://stock.example/v1", "https://stock.example/v1/availability"),
            ("https://stock.example/v1/", "https://stock.example/v1/availability"),
        ] {
            let url = parse_base_url(text).unwrap();
            assert_eq!(url.join("availability").unwrap().as_str(), joined);
        }
        for refused in ["ftp://x", "localhost:3000", "http://", "http://x/?a=b", "http://x/#a", ""]
        {
            assert!(parse_base_url(refused).is_err(), "{refused}");
        }
    }
}
