//! Configuration comes from the environment, is read once, and is reported whole.
//!
//! Each service has one struct that derives [`conf::Conf`]; its fields are the variables, with default, unit and
//! meaning, and `--help` prints them. Every fault is reported at once, then the process ends with
//! [`EX_CONFIG`], so that a supervisor can tell a wrong setting from a crash.

use std::ffi::OsString;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use conf::Conf;
use conf::introspection::ProgramOptionMeta;
use secrecy::SecretString;
use tracing_subscriber::EnvFilter;

/// The exit code for a wrong or missing setting (`EX_CONFIG` of BSD's `sysexits.h`).
pub const EX_CONFIG: u8 = 78;

/// What every service is told.
#[derive(Clone, Debug, Conf)]
pub struct CommonSettings {
    /// Address to listen on, for the API and for management; 0.0.0.0 in a container
    #[conf(env, default_value = "127.0.0.1")]
    pub host: String,

    /// Log lines: `json`, `text`, or `auto` (text on a terminal, else json)
    #[conf(env, default_value = "auto")]
    pub log_format: LogFormat,

    /// What is logged: a level, or directives as in `info,sales_api=debug`
    #[conf(env, default_value = "info,actix_server=warn", value_parser = parse_directives)]
    pub rust_log: String,

    /// Where traces are sent (OTLP over HTTP), for example <http://127.0.0.1:4318>; no traces when unset
    #[conf(env)]
    pub otel_exporter_otlp_endpoint: Option<String>,

    /// Most milliseconds that a stop may take before work in hand is given up
    #[conf(env, value_parser = timeout_millis, default_value = "10000")]
    pub shutdown_timeout: Duration,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
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

/// The configuration of one service.
pub trait ServiceConfig: Conf {
    /// What every service is told.
    fn common(&self) -> &CommonSettings;

    /// The port of `/livez`, `/readyz` and `/metrics`; 0 takes a free one.
    fn management_port(&self) -> u16;
}

/// Reads a whole number within bounds.
pub fn number_in<T>(text: &str, bounds: RangeInclusive<T>) -> Result<T, String>
where
    T: Display + FromStr + PartialOrd,
{
    let number = text.parse().ok().filter(|number| bounds.contains(number));
    number.ok_or_else(|| format!("must be a number from {} to {}", bounds.start(), bounds.end()))
}

/// Reads a duration in milliseconds: zero to a day.
pub fn millis(text: &str) -> Result<Duration, &'static str> {
    in_millis(text, 0).ok_or("must be a number of milliseconds from 0 to 86400000")
}

/// Reads a timeout or an interval in milliseconds. One of less than 10 ms would only keep processors busy.
pub fn timeout_millis(text: &str) -> Result<Duration, &'static str> {
    in_millis(text, 10).ok_or("must be a number of milliseconds from 10 to 86400000")
}

fn in_millis(text: &str, least: u64) -> Option<Duration> {
    text.parse().ok().filter(|ms| (least..=86_400_000).contains(ms)).map(Duration::from_millis)
}

/// Reads a secret that tokens are signed with. Its length is that of the hash (RFC 7518, section 3.2).
pub fn parse_jwt_secret(text: &str) -> Result<SecretString, &'static str> {
    if text.len() < 32 { Err("must be at least 32 bytes long") } else { Ok(text.into()) }
}

/// Joins what is wrong with settings that are right each by itself, so that all of it is reported.
pub fn all_of(checks: &[(bool, &str)]) -> Result<(), String> {
    let faults: Vec<&str> =
        checks.iter().filter(|(holds, _)| !holds).map(|(_, fault)| *fault).collect();
    if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
}

fn parse_directives(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// Reads the process's arguments and environment. `Err` is the exit code, after the faults were printed.
pub(crate) fn load<C: ServiceConfig>() -> Result<C, u8> {
    C::try_parse_from(std::env::args_os(), environment()).map_err(|error| {
        let _ = error.print();
        // `--help` and `--version` come as "errors" with code 0.
        if error.exit_code() == 0 { 0 } else { EX_CONFIG }
    })
}

/// The port that a running instance with this environment listens on, without a look at any other setting.
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

/// The variables of this process that are set. Empty is unset: compose and Kubernetes pass `NAME=` for what nobody
/// filled in.
pub fn environment() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os().filter(|(_, value)| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(env: &[(&str, &str)]) -> Result<CommonSettings, String> {
        CommonSettings::try_parse_from(["service"], env.iter().copied())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_are_enough() {
        let settings = parse(&[]).unwrap();
        assert_eq!(settings.shutdown_timeout, Duration::from_secs(10));
        assert_eq!(settings.log_format, LogFormat::Auto);
    }

    #[test]
    fn every_fault_is_reported_at_once() {
        let report =
            parse(&[("LOG_FORMAT", "xml"), ("SHUTDOWN_TIMEOUT", "0"), ("RUST_LOG", "a=b=c")])
                .unwrap_err();
        assert!(
            ["LOG_FORMAT", "SHUTDOWN_TIMEOUT", "RUST_LOG"].iter().all(|name| report.contains(name)),
            "{report}"
        );
    }
}
