//! Key pairs of one test, and tokens signed with them.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use openssl::ec::{EcGroup, EcKey};
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use serde_json::{Value, json};
use service_kit::jwt;

pub(crate) struct KeyPair {
    pub(crate) algorithm: Algorithm,
    pub(crate) private: EncodingKey,
    pub(crate) public_pem: String,
}

impl KeyPair {
    pub(crate) fn rsa() -> Self {
        let pair = Rsa::generate(2048).and_then(PKey::from_rsa).unwrap();
        Self::of(&pair, Algorithm::RS256, EncodingKey::from_rsa_der)
    }

    pub(crate) fn p256() -> Self {
        let curve = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let pair = EcKey::generate(&curve).and_then(PKey::from_ec_key).unwrap();
        Self::of(&pair, Algorithm::ES256, EncodingKey::from_ec_der)
    }

    pub(crate) fn ed25519() -> Self {
        let pair = PKey::generate_ed25519().unwrap();
        Self::of(&pair, Algorithm::EdDSA, EncodingKey::from_ed_der)
    }

    fn of(pair: &PKey<Private>, algorithm: Algorithm, read: fn(&[u8]) -> EncodingKey) -> Self {
        jwt::use_openssl();
        let private = read(&pair.private_key_to_der().unwrap());
        let public_pem = String::from_utf8(pair.public_key_to_pem().unwrap()).unwrap();
        Self { algorithm, private, public_pem }
    }

    /// The public key as an entry of a key set.
    pub(crate) fn jwk(&self, kid: &str) -> Value {
        let jwk = Jwk::from_encoding_key(&self.private, self.algorithm).unwrap();
        let mut jwk = serde_json::to_value(jwk).unwrap();
        jwk["kid"] = json!(kid);
        if self.algorithm == Algorithm::ES256 {
            for coordinate in ["x", "y"] {
                jwk[coordinate] = json!(padded(jwk[coordinate].as_str().unwrap()));
            }
        }
        jwk
    }

    pub(crate) fn header(&self) -> Header {
        Header::new(self.algorithm)
    }

    /// An `Authorization` header with these claims.
    pub(crate) fn bearer(&self, claims: &Value) -> String {
        bearer(&self.header(), claims, &self.private)
    }

    /// An `Authorization` header with these claims and a key id.
    pub(crate) fn bearer_named(&self, kid: &str, claims: &Value) -> String {
        bearer(&Header { kid: Some(kid.to_owned()), ..self.header() }, claims, &self.private)
    }
}

/// A coordinate in its full length (RFC 7518, section 6.2.1.2). jsonwebtoken-openssl 2.0 omits
/// leading zeros.
fn padded(coordinate: &str) -> String {
    let bytes = URL_SAFE_NO_PAD.decode(coordinate).unwrap();
    URL_SAFE_NO_PAD.encode([vec![0; 32 - bytes.len()], bytes].concat())
}

pub(crate) fn bearer(header: &Header, claims: &Value, key: &EncodingKey) -> String {
    format!("Bearer {}", encode(header, claims, key).unwrap())
}
