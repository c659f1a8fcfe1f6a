//! The URL of a database, and how connections to it are encrypted.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use service_kit::credentials::CaFile;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use url::form_urlencoded;

/// A URL such as `postgres://user:password@host:5432/database?sslmode=require`.
///
/// `sslmode` has libpq's values, except that required encryption always includes verification:
///
/// | `sslmode` | connection |
/// |---|---|
/// | `disable` | never encrypted |
/// | `prefer`, or unset without a CA | encrypted if the server supports it; the certificate is not verified |
/// | `require`, `verify-full`, or unset with a CA | encrypted; the certificate must be for the host in the URL and signed by the CA, or by one of the system's CAs if no CA is set |
#[derive(Clone)]
pub struct DatabaseUrl {
    /// Without the TLS settings.
    config: Box<Config>,
    mode: Option<Mode>,
    roots: Option<Roots>,
    place: Arc<str>,
}

/// The `sslmode` of a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Disable,
    Prefer,
    Require,
}

/// The trusted CAs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Roots {
    /// The CAs that the system trusts.
    System,
    /// The CAs in a file.
    File(CaFile),
}

/// How a connection is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Encryption {
    None,
    /// Encrypted if the server supports it, without verification: protects against eavesdropping,
    /// but an active attacker can disable the encryption.
    Opportunistic,
    Verified(Roots),
}

impl Encryption {
    /// The CA file, if one is used.
    pub(crate) fn file(&self) -> Option<&PathBuf> {
        match self {
            Self::Verified(Roots::File(ca)) => Some(ca.path()),
            _ => None,
        }
    }

    /// The same, with the CA file read again.
    pub(crate) fn read_again(&self) -> Result<Self, String> {
        match self.file().and_then(|file| file.to_str()) {
            Some(file) => Ok(Self::Verified(Roots::File(CaFile::read(file)?))),
            None => Ok(self.clone()),
        }
    }
}

impl FromStr for Mode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "disable" => Ok(Self::Disable),
            "prefer" => Ok(Self::Prefer),
            // Unlike libpq's `require`, this one verifies the certificate.
            "require" | "verify-full" => Ok(Self::Require),
            _ => Err("has an unsupported sslmode; use disable, prefer, require or verify-full"),
        }
    }
}

const NOT_VERIFIED: &str =
    "has a CA (DATABASE_CA_FILE or sslrootcert), which requires sslmode=require";

impl DatabaseUrl {
    /// Parses a URL. The error does not quote the URL, because the URL contains a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        if !(text.starts_with("postgres://") || text.starts_with("postgresql://")) {
            return Err("must begin with postgres://".to_owned());
        }
        // A password can contain a question mark.
        let credentials = text.find('@').unwrap_or(0);
        let (server, query) = match text[credentials..].find('?') {
            Some(at) => (&text[..credentials + at], &text[credentials + at + 1..]),
            None => (text, ""),
        };
        let (mut mode, mut roots, mut rest) = (None, None, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", value)) => mode = Some(value.parse()?),
                Some(("sslrootcert", value)) => roots = Some(Roots::named(value)?),
                _ => rest.push(pair),
            }
        }
        let config: Config = format!("{server}?{}", rest.join("&"))
            .parse()
            .map_err(|_| "must be like postgres://user:password@host:5432/database")?;
        if config.get_hosts().is_empty() {
            return Err("must name a host".to_owned());
        }
        let place = place_of(&config).into();
        let url = Self { config: config.into(), mode, roots, place };
        url.check_ca(None)?;
        Ok(url)
    }

    /// Returns an error if a CA is set but `sslmode` does not verify certificates.
    pub fn check_ca(&self, ca: Option<&CaFile>) -> Result<(), &'static str> {
        let named = ca.is_some() || self.roots.is_some();
        let ignored = matches!(self.mode, Some(Mode::Disable | Mode::Prefer));
        if named && ignored { Err(NOT_VERIFIED) } else { Ok(()) }
    }

    /// Hosts, ports and database name, without the credentials: `127.0.0.1:5432/sales`.
    pub(crate) fn place(&self) -> Arc<str> {
        self.place.clone()
    }

    /// The connection parameters and the encryption. The URL's `sslrootcert` takes precedence over
    /// `ca`.
    pub(crate) fn resolve(&self, ca: Option<&CaFile>) -> (Config, Encryption) {
        let roots = self.roots.clone().or_else(|| ca.cloned().map(Roots::File));
        let otherwise = if roots.is_some() { Mode::Require } else { Mode::Prefer };
        let (mode, encryption) = match self.mode.unwrap_or(otherwise) {
            Mode::Disable => (SslMode::Disable, Encryption::None),
            Mode::Prefer => (SslMode::Prefer, Encryption::Opportunistic),
            Mode::Require => {
                (SslMode::Require, Encryption::Verified(roots.unwrap_or(Roots::System)))
            }
        };
        let mut config = Config::clone(&self.config);
        config.ssl_mode(mode);
        (config, encryption)
    }
}

impl Roots {
    fn named(value: &str) -> Result<Self, String> {
        // In a URL a plus sign is literal; the form decoder would read it as a space.
        let pair = format!("path={}", value.replace('+', "%2B"));
        let path = form_urlencoded::parse(pair.as_bytes()).next();
        match path.as_ref().map(|(_, path)| path.as_ref()) {
            Some("system") => Ok(Self::System),
            path => CaFile::read(path.unwrap_or_default())
                .map(Self::File)
                .map_err(|fault| format!("has an unusable sslrootcert: {fault}")),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DatabaseUrl").field(&self.place).finish()
    }
}

fn place_of(config: &Config) -> String {
    let ports = config.get_ports();
    let places = config.get_hosts().iter().enumerate().map(|(number, host)| {
        // A single port applies to all hosts.
        let port = ports.get(number).or_else(|| ports.first()).unwrap_or(&5432);
        match host {
            Host::Tcp(name) => format!("{name}:{port}"),
            #[cfg(unix)]
            Host::Unix(folder) => format!("{}:{port}", folder.display()),
        }
    });
    let name = config.get_dbname().or(config.get_user()).unwrap_or_default();
    format!("{}/{name}", places.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_url_is_checked_before_it_is_used() {
        assert!(DatabaseUrl::parse("postgres://sales:secret@localhost:5432/sales").is_ok());
        for refused in ["", "localhost", "postgres:///sales", "postgres://localhost:port/sales"] {
            assert!(DatabaseUrl::parse(refused).is_err(), "{refused:?}");
        }
        let place = |url: &str| DatabaseUrl::parse(url).unwrap().place().to_string();
        assert_eq!(place("postgres://u:hunter2@db:6432/sales"), "db:6432/sales");
        assert_eq!(place("postgres://u:hunter2@a,b/sales?sslmode=disable"), "a:5432,b:5432/sales");
        assert_eq!(place("postgres://u:hunter?2@a/sales"), "a:5432/sales");
        // Env files can contain quoted values. The message must not contain the password.
        let quoted = DatabaseUrl::parse("\"postgres://u:hunter2@h/db?sslmode=disable\"");
        assert!(!format!("{quoted:?}").contains("hunter2"));
        let whole = DatabaseUrl::parse("postgres://u:hunter2@h/db").unwrap();
        assert!(!format!("{whole:?}").contains("hunter2"));
    }

    #[test]
    fn sslmode_and_ca_determine_encryption_and_verification() {
        let path = std::env::temp_dir().join(format!("database url+{}.pem", std::process::id()));
        let path = path.to_str().unwrap();
        let certificate = "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n";
        std::fs::write(path, certificate).unwrap();
        let ca = CaFile::read(path).unwrap();
        let of_file = Encryption::Verified(Roots::File(ca.clone()));
        let of_system = Encryption::Verified(Roots::System);
        let named = format!("sslrootcert={}", path.replace(' ', "%20"));

        let url = |query: &str| DatabaseUrl::parse(&format!("postgres://u@h/d?{query}"));
        for (query, ca, expected) in [
            ("", None, &Encryption::Opportunistic),
            ("sslmode=prefer", None, &Encryption::Opportunistic),
            ("sslmode=disable", None, &Encryption::None),
            ("sslmode=require", None, &of_system),
            ("application_name=x&sslmode=verify-full", None, &of_system),
            ("sslrootcert=system", None, &of_system),
            (&named, None, &of_file),
            ("", Some(&ca), &of_file),
            ("sslmode=require", Some(&ca), &of_file),
            // The URL takes precedence: each database can have its own CA.
            ("sslrootcert=system", Some(&ca), &of_system),
        ] {
            let url = url(query).unwrap();
            assert_eq!(url.check_ca(ca), Ok(()), "{query}");
            assert_eq!(&url.resolve(ca).1, expected, "{query}");
        }
        for mode in ["disable", "prefer"] {
            let with_ca = url(&format!("sslmode={mode}")).unwrap().check_ca(Some(&ca));
            assert_eq!(with_ca, Err(NOT_VERIFIED));
            assert_eq!(url(&format!("sslmode={mode}&{named}")).unwrap_err(), NOT_VERIFIED);
        }
        for (query, fault) in [
            ("sslmode=verify-ca", "use disable, prefer, require or verify-full"),
            ("sslmode=", "use disable, prefer, require or verify-full"),
            ("sslrootcert=/nowhere.pem", "/nowhere.pem cannot be read"),
            ("sslcert=/client.pem", "must be like"),
        ] {
            let refused = url(query).unwrap_err();
            assert!(refused.contains(fault), "{refused}");
        }
        std::fs::remove_file(path).unwrap();
    }
}
