//! Encryption and authentication of Kafka connections.

use std::path::PathBuf;
use std::str::FromStr;

use conf::Conf;
use rdkafka::ClientConfig;
use secrecy::{ExposeSecret, SecretString};
use service_kit::config::all_of;
use service_kit::credentials::{CaFile, certificate_file, key_file};

/// Encryption and authentication of connections to Kafka.
#[derive(Clone, Debug, Conf)]
#[conf(validation_predicate = KafkaSecurity::check)]
pub struct KafkaSecurity {
    /// Security protocol: `PLAINTEXT`, `SSL` (encryption with a verified broker certificate),
    /// `SASL_PLAINTEXT` (user and password) or `SASL_SSL` (both)
    #[conf(env, default_value = "PLAINTEXT")]
    pub kafka_security_protocol: Protocol,

    /// SASL mechanism: `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`; only with SASL
    #[conf(env)]
    pub kafka_sasl_mechanism: Option<Mechanism>,

    /// SASL user name; only with SASL
    #[conf(env)]
    pub kafka_sasl_username: Option<String>,

    /// SASL password; only with SASL
    #[conf(env, secret, value_parser = parse_password)]
    pub kafka_sasl_password: Option<SecretString>,

    /// Path of a PEM file with the CA certificates to trust for the brokers; the system's
    /// certificates when unset
    #[conf(env, value_parser = CaFile::read)]
    pub kafka_ca_file: Option<CaFile>,

    /// Path of a PEM file with the client certificate, for brokers that require one
    #[conf(env, value_parser = certificate_file)]
    pub kafka_certificate_file: Option<PathBuf>,

    /// Path of a PEM file with the unencrypted private key of the client certificate
    #[conf(env, value_parser = key_file)]
    pub kafka_key_file: Option<PathBuf>,
}

/// The security protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// No encryption, no authentication.
    Plaintext,
    /// TLS.
    Ssl,
    /// SASL authentication without encryption.
    SaslPlaintext,
    /// SASL authentication over TLS.
    SaslSsl,
}

/// The SASL mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// Sends the password itself.
    Plain,
    /// Proves knowledge of the password without sending it (RFC 7677).
    ScramSha256,
    /// The same with SHA-512.
    ScramSha512,
}

impl Protocol {
    const fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::Ssl => "SSL",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
            Self::SaslSsl => "SASL_SSL",
        }
    }

    const fn uses_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    const fn uses_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }
}

impl FromStr for Protocol {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::Plaintext, Self::Ssl, Self::SaslPlaintext, Self::SaslSsl];
        let found = all.into_iter().find(|protocol| protocol.name() == text);
        found.ok_or("must be PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL")
    }
}

impl Mechanism {
    const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl FromStr for Mechanism {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::Plain, Self::ScramSha256, Self::ScramSha512];
        let found = all.into_iter().find(|mechanism| mechanism.name() == text);
        found.ok_or("must be PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")
    }
}

/// Accepts any text. The type keeps it from being printed.
#[expect(clippy::unnecessary_wraps, reason = "the signature of a value parser")]
fn parse_password(text: &str) -> Result<SecretString, &'static str> {
    Ok(text.into())
}

impl KafkaSecurity {
    /// Rejects settings that would have no effect: they are configuration errors.
    fn check(&self) -> Result<(), String> {
        let Self { kafka_security_protocol: protocol, .. } = self;
        let login = [
            self.kafka_sasl_mechanism.is_some(),
            self.kafka_sasl_username.is_some(),
            self.kafka_sasl_password.is_some(),
        ];
        let certificate = [self.kafka_certificate_file.is_some(), self.kafka_key_file.is_some()];
        all_of(&[
            (
                protocol.uses_sasl() || !login.contains(&true),
                "KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD have no effect \
                 unless KAFKA_SECURITY_PROTOCOL is SASL_SSL or SASL_PLAINTEXT",
            ),
            (
                !protocol.uses_sasl() || !login.contains(&false),
                "a KAFKA_SECURITY_PROTOCOL with SASL requires KAFKA_SASL_MECHANISM, \
                 KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD",
            ),
            (
                protocol.uses_tls()
                    || (self.kafka_ca_file.is_none() && !certificate.contains(&true)),
                "KAFKA_CA_FILE, KAFKA_CERTIFICATE_FILE and KAFKA_KEY_FILE have no effect unless \
                 KAFKA_SECURITY_PROTOCOL is SSL or SASL_SSL",
            ),
            (
                certificate[0] == certificate[1],
                "KAFKA_CERTIFICATE_FILE and KAFKA_KEY_FILE must be set together",
            ),
        ])
    }

    /// The certificate and key files, which a client reads when it is created.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let ca = self.kafka_ca_file.as_ref().map(CaFile::path);
        let own = [&self.kafka_certificate_file, &self.kafka_key_file];
        ca.into_iter().chain(own.into_iter().flatten()).cloned().collect()
    }

    /// Adds the security settings to a client configuration.
    pub(crate) fn configure(&self, config: &mut ClientConfig) {
        config.set("security.protocol", self.kafka_security_protocol.name());
        if self.kafka_security_protocol.uses_tls() {
            let ca = self.kafka_ca_file.as_ref();
            // `probe` looks for the CA certificates of the system.
            let ca = ca.map_or("probe".into(), |ca| ca.path().to_string_lossy());
            config
                .set("ssl.ca.location", ca)
                .set("enable.ssl.certificate.verification", "true")
                .set("ssl.endpoint.identification.algorithm", "https");
        }
        for (name, file) in [
            ("ssl.certificate.location", &self.kafka_certificate_file),
            ("ssl.key.location", &self.kafka_key_file),
        ] {
            if let Some(file) = file {
                config.set(name, file.to_string_lossy());
            }
        }
        if let Some(mechanism) = self.kafka_sasl_mechanism {
            config.set("sasl.mechanism", mechanism.name());
        }
        if let Some(user) = &self.kafka_sasl_username {
            config.set("sasl.username", user);
        }
        if let Some(password) = &self.kafka_sasl_password {
            config.set("sasl.password", password.expose_secret());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(env: &[(&str, &str)]) -> Result<KafkaSecurity, String> {
        KafkaSecurity::try_parse_from(["service"], env.iter().copied())
            .map_err(|error| error.to_string())
    }

    const LOGIN: [(&str, &str); 3] = [
        ("KAFKA_SASL_MECHANISM", "SCRAM-SHA-512"),
        ("KAFKA_SASL_USERNAME", "relay"),
        ("KAFKA_SASL_PASSWORD", "hunter2"),
    ];

    fn protocol(name: &'static str) -> (&'static str, &'static str) {
        ("KAFKA_SECURITY_PROTOCOL", name)
    }

    #[test]
    fn the_default_protocol_is_plaintext() {
        let security = parse(&[]).unwrap();
        assert_eq!(security.kafka_security_protocol, Protocol::Plaintext);
        let mut config = ClientConfig::new();
        security.configure(&mut config);
        assert_eq!(config.config_map().len(), 1, "{config:?}");
    }

    #[test]
    fn ineffective_kafka_settings_are_rejected_without_showing_the_password() {
        let sasl_ssl = protocol("SASL_SSL");
        let path = format!("{}/Cargo.toml", env!("CARGO_MANIFEST_DIR"));
        for (settings, message) in [
            (&[LOGIN[0]][..], "have no effect unless KAFKA_SECURITY_PROTOCOL is SASL_SSL"),
            (
                &[LOGIN[1], protocol("SSL")],
                "have no effect unless KAFKA_SECURITY_PROTOCOL is SASL_SSL",
            ),
            (&LOGIN, "have no effect unless KAFKA_SECURITY_PROTOCOL is SASL_SSL"),
            (&[sasl_ssl], "with SASL requires KAFKA_SASL_MECHANISM"),
            (&[sasl_ssl, LOGIN[0], LOGIN[1]], "and KAFKA_SASL_PASSWORD"),
            (&[sasl_ssl, LOGIN[0], LOGIN[2]], "requires KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME"),
            (&[sasl_ssl, LOGIN[1], LOGIN[2]], "requires KAFKA_SASL_MECHANISM"),
            (&[protocol("TLS")], "must be PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"),
            (
                &[("KAFKA_SASL_MECHANISM", "GSSAPI")],
                "must be PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512",
            ),
            (&[protocol("SSL"), ("KAFKA_CA_FILE", "/nowhere.pem")], "/nowhere.pem cannot be read"),
            (&[protocol("SSL"), ("KAFKA_CA_FILE", &path)], "contains no certificate"),
            (&[protocol("SSL"), ("KAFKA_KEY_FILE", &path)], "contains no unencrypted private key"),
        ] {
            let report = parse(settings).unwrap_err();
            assert!(report.contains(message), "{report}");
            assert!(!report.contains("hunter2"), "{report}");
        }
        let security = parse(&[&LOGIN[..], &[sasl_ssl]].concat()).unwrap();
        assert!(!format!("{security:?}").contains("hunter2"));
    }

    #[test]
    fn every_mechanism_works_with_every_sasl_protocol() {
        for name in ["SASL_SSL", "SASL_PLAINTEXT"] {
            for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
                let env = [protocol(name), ("KAFKA_SASL_MECHANISM", mechanism), LOGIN[1], LOGIN[2]];
                let mut config = ClientConfig::new();
                parse(&env).unwrap().configure(&mut config);
                assert!(!format!("{config:?}").contains("hunter2"), "{config:?}");
                config.create_native_config().unwrap();
            }
        }
    }

    #[test]
    fn certificate_settings_require_tls_and_a_key() {
        let path = std::env::temp_dir().join(format!("kafka-security-{}.pem", std::process::id()));
        let path = path.to_str().unwrap();
        let certificate = "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n";
        let key = "-----BEGIN PRIVATE KEY-----\nAQID\n-----END PRIVATE KEY-----\n";
        std::fs::write(path, [certificate, key].concat()).unwrap();
        let ca = ("KAFKA_CA_FILE", path);
        let own = [("KAFKA_CERTIFICATE_FILE", path), ("KAFKA_KEY_FILE", path)];
        assert!(parse(&[protocol("SSL"), ca, own[0], own[1]]).is_ok());
        for (settings, message) in [
            (&[ca][..], "have no effect unless KAFKA_SECURITY_PROTOCOL is SSL"),
            (&[LOGIN[0], LOGIN[1], LOGIN[2], protocol("SASL_PLAINTEXT"), ca], "is SSL or SASL_SSL"),
            (&own, "have no effect unless KAFKA_SECURITY_PROTOCOL is SSL"),
            (&[protocol("SSL"), own[0]], "must be set together"),
            (&[protocol("SSL"), own[1]], "must be set together"),
        ] {
            let report = parse(settings).unwrap_err();
            assert!(report.contains(message), "{report}");
        }
        std::fs::remove_file(path).unwrap();
    }
}
