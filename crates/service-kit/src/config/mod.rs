//! Configuration from the environment, read once, with all errors reported together.
//!
//! Each service has one struct that derives [`conf::Conf`]. Its fields are the variables; their doc
//! comments are the texts of `--help` and of `docs/CONFIGURATION.md`. After an error the process ends
//! with [`EX_CONFIG`], so that a supervisor can distinguish a wrong setting from a crash.

pub mod open_files;
pub mod usage;

use std::ffi::OsString;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use conf::Conf;
use conf::introspection::ProgramOptionMeta;
use secrecy::SecretString;
use url::Url;

/// The exit code for a wrong or missing setting (`EX_CONFIG` of BSD's `sysexits.h`).
pub const EX_CONFIG: u8 = 78;

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
    use super::*;

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
