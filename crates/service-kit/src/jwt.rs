//! Token signatures with OpenSSL, which all connections use as well.

use std::sync::LazyLock;

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier};
use jsonwebtoken::signature::{Error, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, errors};
use jsonwebtoken_openssl::DEFAULT_PROVIDER;

static PROVIDER: LazyLock<CryptoProvider> = LazyLock::new(|| CryptoProvider {
    verifier_factory: |algorithm, key| verifier(*algorithm, key),
    ..DEFAULT_PROVIDER.clone()
});

/// Makes `jsonwebtoken` sign and verify with OpenSSL. Call it before either. Idempotent.
pub fn use_openssl() {
    // An error means that it is installed already.
    let _ = PROVIDER.install_default();
}

fn verifier(
    algorithm: Algorithm,
    key: &DecodingKey,
) -> Result<Box<dyn JwtVerifier>, errors::Error> {
    let verifier = (DEFAULT_PROVIDER.verifier_factory)(&algorithm, key)?;
    let hmac_bytes = match algorithm {
        Algorithm::HS256 => 32,
        Algorithm::HS384 => 48,
        Algorithm::HS512 => 64,
        _ => return Ok(verifier),
    };
    Ok(Box::new(FixedLengthVerifier(hmac_bytes, verifier)))
}

/// Rejects a signature of another length. `jsonwebtoken-openssl` 2.0 panics on one, because it
/// compares HMACs with `openssl::memcmp::eq`, which requires slices of equal length.
struct FixedLengthVerifier(usize, Box<dyn JwtVerifier>);

impl Verifier<Vec<u8>> for FixedLengthVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), Error> {
        if signature.len() == self.0 {
            self.1.verify(message, signature)
        } else {
            Err(Error::new())
        }
    }
}

impl JwtVerifier for FixedLengthVerifier {
    fn algorithm(&self) -> Algorithm {
        self.1.algorithm()
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::EncodingKey;
    use jsonwebtoken::crypto::{sign, verify};

    use super::*;

    #[test]
    fn an_hmac_of_another_length_is_rejected() {
        use_openssl();
        let secret = b"a secret that both sides know";
        let (encoding, decoding) =
            (EncodingKey::from_secret(secret), DecodingKey::from_secret(secret));
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let signature = sign(b"message", &encoding, algorithm).unwrap();
            let accepted = |signature| verify(signature, b"message", &decoding, algorithm).unwrap();
            assert!(accepted(&signature));
            assert!(!accepted(""));
            assert!(!accepted(&signature[4..]));
            assert!(!accepted(&format!("AAAA{signature}")));
            assert!(!verify(&signature, b"another", &decoding, algorithm).unwrap());
        }
    }
}
