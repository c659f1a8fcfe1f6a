//! Keys that verify tokens, each with its only permitted algorithm. A token that names another
//! algorithm is refused before its signature is verified.

use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, crypto};
use openssl::bn::{BigNum, BigNumContext};
use openssl::ec::PointConversionForm;
use openssl::error::ErrorStack;
use openssl::pkey::{Id, PKey, PKeyRef, Public};
use openssl::rsa::{Rsa, RsaRef};
use service_kit::jwt;

/// Permitted length of an RSA modulus, in bits: RFC 7518 requires at least 2048 (section 3.3).
const RSA_BITS: std::ops::RangeInclusive<i32> = 2048..=8192;

/// A key, and the algorithm that is pinned to it.
#[derive(Clone, Debug)]
pub(crate) struct VerificationKey {
    pub(crate) algorithm: Algorithm,
    pub(crate) key: DecodingKey,
}

/// Why a key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("must be a public key in PEM, -----BEGIN PUBLIC KEY-----")]
    NoPublicKey,
    #[error("is a private key; set its public key instead")]
    Private,
    #[error("must be an RSA, EC P-256 or Ed25519 key")]
    UnknownKind,
    #[error(
        "must have an odd RSA modulus of 2048 to 8192 bits, and an odd exponent of 2 to 33 bits"
    )]
    Rsa,
    #[error("is not a point on its curve, {0}")]
    Curve(&'static str),
}

impl VerificationKey {
    /// A secret that is shared with the issuer (HS256).
    pub(crate) fn from_secret(secret: &[u8]) -> Self {
        jwt::use_openssl();
        Self { algorithm: Algorithm::HS256, key: DecodingKey::from_secret(secret) }
    }

    /// A public key in PEM, whose line ends may be written as `\n`.
    pub(crate) fn from_pem(text: &str) -> Result<Self, KeyError> {
        let text = text.replace("\\n", "\n");
        if text.contains("PRIVATE KEY-----") {
            return Err(KeyError::Private);
        }
        if !text.contains("PUBLIC KEY-----") {
            return Err(KeyError::NoPublicKey);
        }
        let key = PKey::public_key_from_pem(text.as_bytes()).map_err(|_| KeyError::UnknownKind)?;
        let (algorithm, key) = match key.id() {
            Id::RSA => (Algorithm::RS256, rsa(&key)),
            Id::EC => (Algorithm::ES256, point(&key)),
            Id::ED25519 => (Algorithm::EdDSA, ed25519(&key)),
            _ => return Err(KeyError::UnknownKind),
        };
        Self::checked(algorithm, key.map_err(|_| KeyError::UnknownKind)?)
    }

    /// Refuses a key that cannot be used with its algorithm, because it would reject every token.
    pub(crate) fn checked(algorithm: Algorithm, key: DecodingKey) -> Result<Self, KeyError> {
        let error = match algorithm {
            Algorithm::ES256 => KeyError::Curve("P-256"),
            Algorithm::ES384 => KeyError::Curve("P-384"),
            Algorithm::EdDSA => KeyError::Curve("Ed25519"),
            _ => KeyError::Rsa,
        };
        let safe = error != KeyError::Rsa || rsa_key(key.kind()).is_ok_and(|key| is_safe(&key));
        jwt::use_openssl();
        // An error means that the key is unusable.
        let usable = safe && crypto::verify("", b"", &key, algorithm).is_ok();
        if usable { Ok(Self { algorithm, key }) } else { Err(error) }
    }
}

fn rsa(key: &PKeyRef<Public>) -> Result<DecodingKey, ErrorStack> {
    Ok(DecodingKey::from_rsa_der(&key.rsa()?.public_key_to_der_pkcs1()?))
}

/// The public point of an EC key, on any curve.
fn point(key: &PKeyRef<Public>) -> Result<DecodingKey, ErrorStack> {
    let (key, mut numbers) = (key.ec_key()?, BigNumContext::new()?);
    let form = PointConversionForm::UNCOMPRESSED;
    let point = key.public_key().to_bytes(key.group(), form, &mut numbers)?;
    Ok(DecodingKey::from_ec_der(&point))
}

fn ed25519(key: &PKeyRef<Public>) -> Result<DecodingKey, ErrorStack> {
    Ok(DecodingKey::from_ed_der(&key.raw_public_key()?))
}

fn rsa_key(key: &DecodingKeyKind) -> Result<Rsa<Public>, ErrorStack> {
    match key {
        DecodingKeyKind::SecretOrDer(der) => Rsa::public_key_from_der_pkcs1(der),
        DecodingKeyKind::RsaModulusExponent { n, e } => {
            Rsa::from_public_components(BigNum::from_slice(n)?, BigNum::from_slice(e)?)
        }
    }
}

/// Checks the modulus and the exponent, because OpenSSL accepts any: with the exponent 1, anyone
/// could sign (RFC 8017, section 3.1). The maximum length of the exponent is that of aws-lc.
fn is_safe(key: &RsaRef<Public>) -> bool {
    let (modulus, exponent) = (key.n(), key.e());
    RSA_BITS.contains(&modulus.num_bits())
        && modulus.is_odd()
        && exponent.is_odd()
        && (2..=33).contains(&exponent.num_bits())
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

    fn read(body: &str) -> Result<Algorithm, KeyError> {
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
    fn a_public_key_that_cannot_verify_tokens_is_refused() {
        assert_eq!(read(RSA_1024), Err(KeyError::Rsa));
        // Its points are as long as those of P-256.
        assert_eq!(read(SECP256K1), Err(KeyError::Curve("P-256")));
        assert_eq!(read(P_384), Err(KeyError::Curve("P-256")));
        assert_eq!(read(X25519), Err(KeyError::UnknownKind));
        assert_eq!(read("bm8ga2V5"), Err(KeyError::UnknownKind));
        assert_eq!(read("?"), Err(KeyError::UnknownKind));
    }

    #[test]
    fn a_pem_that_is_not_a_public_key_gets_a_specific_error() {
        let refused = |text| VerificationKey::from_pem(text).map(|key| key.algorithm).unwrap_err();
        assert_eq!(refused("-----BEGIN PRIVATE KEY-----\nAAAA\n"), KeyError::Private);
        assert_eq!(refused("-----BEGIN EC PRIVATE KEY-----\nAAAA\n"), KeyError::Private);
        assert_eq!(refused("-----BEGIN CERTIFICATE-----\nAAAA\n"), KeyError::NoPublicKey);
        assert_eq!(refused("a secret"), KeyError::NoPublicKey);
    }
}
