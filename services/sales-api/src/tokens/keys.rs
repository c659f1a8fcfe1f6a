//! Keys that tokens are checked with, each with the one algorithm that it may be used with. A token that names another
//! algorithm is refused before its signature is looked at.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{PublicKey as RsaPublicKey, PublicKeyComponents};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
    VerificationAlgorithm,
};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};

/// Length of an RSA modulus: 2048 bits are the least that RFC 7518 allows (section 3.3).
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// A key, and the algorithm that is pinned to it.
#[derive(Clone, Debug)]
pub(crate) struct VerificationKey {
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

/// Why a key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyFault {
    #[error("must be a public key in PEM, -----BEGIN PUBLIC KEY-----")]
    NoPublicKey,
    #[error("is a private key: only the public one that belongs to it is needed here")]
    Private,
    #[error("must be a key of RSA, of the elliptic curve P-256, or of Ed25519")]
    UnknownKind,
    #[error("an RSA key must be whole and have 2048 to 8192 bits")]
    Rsa,
    #[error("is not a point on its curve, {0}")]
    Curve(&'static str),
}

impl VerificationKey {
    /// A secret that both sides know.
    pub(super) fn from_secret(secret: &[u8]) -> Self {
        Self { algorithm: Algorithm::HS256, key: DecodingKey::from_secret(secret) }
    }

    /// A public key in PEM, whose line ends may be written as `\n`.
    pub(crate) fn from_pem(text: &str) -> Result<Self, KeyFault> {
        let text = text.replace("\\n", "\n");
        if text.contains("PRIVATE KEY-----") {
            return Err(KeyFault::Private);
        }
        if !text.contains("PUBLIC KEY-----") {
            return Err(KeyFault::NoPublicKey);
        }
        let pem = text.as_bytes();
        let (algorithm, key) = DecodingKey::from_rsa_pem(pem)
            .map(|key| (Algorithm::RS256, key))
            .or_else(|_| DecodingKey::from_ec_pem(pem).map(|key| (Algorithm::ES256, key)))
            .or_else(|_| DecodingKey::from_ed_pem(pem).map(|key| (Algorithm::EdDSA, key)))
            .map_err(|_| KeyFault::UnknownKind)?;
        Self::checked(algorithm, key)
    }

    /// A public key that can be used with its algorithm. Otherwise each token would be refused, and nobody knew why.
    pub(super) fn checked(algorithm: Algorithm, key: DecodingKey) -> Result<Self, KeyFault> {
        match algorithm {
            Algorithm::ES256 => on_curve(&ECDSA_P256_SHA256_FIXED, &key, "P-256"),
            Algorithm::ES384 => on_curve(&ECDSA_P384_SHA384_FIXED, &key, "P-384"),
            Algorithm::EdDSA => on_curve(&ED25519, &key, "Ed25519"),
            _ => rsa_bytes(key.kind())
                .is_some_and(|bytes| RSA_BYTES.contains(&bytes))
                .then_some(())
                .ok_or(KeyFault::Rsa),
        }?;
        Ok(Self { algorithm, key })
    }
}

fn on_curve(
    scheme: &'static dyn VerificationAlgorithm,
    key: &DecodingKey,
    curve: &'static str,
) -> Result<(), KeyFault> {
    key.try_get_as_bytes()
        .ok()
        .and_then(|point| ParsedPublicKey::new(scheme, point).ok())
        .map(|_| ())
        .ok_or(KeyFault::Curve(curve))
}

/// Bytes of the modulus of a key that is whole.
fn rsa_bytes(key: &DecodingKeyKind) -> Option<usize> {
    let key = match key {
        DecodingKeyKind::SecretOrDer(der) => RsaPublicKey::from_der(der),
        DecodingKeyKind::RsaModulusExponent { n, e } => {
            RsaPublicKey::from_der(PublicKeyComponents { n, e }.as_der().ok()?.as_ref())
        }
    };
    Some(key.ok()?.modulus_len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RSA_2048: &str = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA5aihlR1n0AML0vBq7ofnHb7XKwIahRdjQvZ39y97SMXyyDHPO9a7atd3fUE9XzGqniSC+NAACldgTl/UuxOl6/hQAv22cS6dhVRqANiUnlC0+2oMYnOl7ANgG/i7ALdMNnuYqM3B/LhHnrzL3eAB0ReEPdedc2EJZlYYxemi2oKg2ZuvPIDuKaH12EGAjTy4IIXoi/gML76TmnrEn4GWKdHwDe1PHcmqm+xvWGUNNVGNIyYoUU7VEJ7G9XsjzlMWsK0tsw2ROmcSojt5AF1VYijK08PuR9sWnnEz0t7Lac4AiTO2dUOm5mwWL4b0UwPOMhXIgPanROg+bQzklgyY3QIDAQAB";
    const RSA_1024: &str = "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDOdSY163jen/+y3QaWFJ09OUXiMzQyGlZwuL3Q4BDspWczbvf1mjyJYPvKl+/oHuZebWTl9fbrIYMpOrsqUKrAn5B/LMTAAZQaZQw7Adh7tjD4MkZxy+jWsy5LqcEF+vNNFL4x720pOXOhhLJckTAEoFiCWkj1GsVvPZTZfTZsEQIDAQAB";
    const P_256: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEdm12ILmsugp2Kzu7nBqt6rVxORSRzN55BuJZ5ctohWMf0y6qoqsytRBgTFIZVdf1yRsG1vfx1SolUhQlxiOYJg==";
    const P_384: &str = "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEi10ZVGilx7J3W3Hi65Jtjh+8BcCek5lUbsyv/myRniGTcxOAskVtfk5UNSI/D7bwv24q/z7OBQ+kM2bYZHYyiSpymhWt9KhV7jF1zmlF8rO1GxsfdUP0Pg02JCXUFEoA";
    const SECP256K1: &str = "MFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAE72NhC6h2zjZk98XAvRibjdskx8A5ej5AEeGLI5bRR8j+yYSH6G8bJHDlri2QgmDOxNsZCSHUiBVVfmdap2msDw==";
    const ED25519_KEY: &str = "MCowBQYDK2VwAyEAevpFEvMbU8njMrsNjQvGacv4tu2bt8/qVhnw3qzGLtQ=";
    const X25519: &str = "MCowBQYDK2VuAyEAkXIbf6K7+bBbKYp99LBgvIpcDTJw5szKohNyN5il3jc=";

    fn read(body: &str) -> Result<Algorithm, KeyFault> {
        let text = format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n");
        let key = VerificationKey::from_pem(&text).map(|key| key.algorithm);
        // An env file has one line for a variable.
        let one_line = VerificationKey::from_pem(&text.replace('\n', "\\n"));
        assert_eq!(key, one_line.map(|key| key.algorithm));
        key
    }

    #[test]
    fn the_kind_of_a_public_key_fixes_its_algorithm() {
        assert_eq!(read(RSA_2048), Ok(Algorithm::RS256));
        assert_eq!(read(P_256), Ok(Algorithm::ES256));
        assert_eq!(read(ED25519_KEY), Ok(Algorithm::EdDSA));
    }

    #[test]
    fn a_public_key_that_could_check_no_token_is_refused() {
        assert_eq!(read(RSA_1024), Err(KeyFault::Rsa));
        // Its points are as long as those of P-256.
        assert_eq!(read(SECP256K1), Err(KeyFault::Curve("P-256")));
        assert_eq!(read(P_384), Err(KeyFault::Curve("P-256")));
        assert_eq!(read(X25519), Err(KeyFault::UnknownKind));
        assert_eq!(read("bm8ga2V5"), Err(KeyFault::UnknownKind));
        assert_eq!(read("?"), Err(KeyFault::UnknownKind));
    }

    #[test]
    fn what_is_no_public_key_is_named_for_what_it_is() {
        let refused = |text| VerificationKey::from_pem(text).map(|key| key.algorithm).unwrap_err();
        assert_eq!(refused("-----BEGIN PRIVATE KEY-----\nAAAA\n"), KeyFault::Private);
        assert_eq!(refused("-----BEGIN EC PRIVATE KEY-----\nAAAA\n"), KeyFault::Private);
        assert_eq!(refused("-----BEGIN CERTIFICATE-----\nAAAA\n"), KeyFault::NoPublicKey);
        assert_eq!(refused("a secret"), KeyFault::NoPublicKey);
    }
}
