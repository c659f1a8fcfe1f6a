//! JWK Sets (RFC 7517): several keys in one document, which tokens select by `kid`. So a set can
//! contain the old and the new key while an issuer rotates them.
//!
//! An issuer's set is for many readers. A key that cannot be used here is logged, and the other
//! keys are used.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::keys::{KeyError, VerificationKey};

/// The usable keys of a set, by `kid`.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeySet {
    keys: HashMap<String, VerificationKey>,
    /// Why the other keys cannot be used.
    errors: Vec<String>,
}

#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<Value>,
}

/// The members of a key that are used (RFC 7518, section 6, and RFC 8037, section 2).
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    #[serde(default)]
    n: String,
    #[serde(default)]
    e: String,
    #[serde(default)]
    x: String,
    #[serde(default)]
    y: String,
    d: Option<IgnoredAny>,
}

#[derive(Debug, thiserror::Error)]
enum JwkError {
    #[error("is not a key: {0}")]
    NoKey(#[from] serde_json::Error),
    #[error("is symmetric: a set of public keys must not contain a secret")]
    Symmetric,
    #[error("has no kid")]
    NoKid,
    #[error("has the kid of an earlier key, which is used instead")]
    SharedKid,
    #[error("names the algorithm {0}, which does not fit its key type")]
    AlgorithmMismatch(String),
    #[error("is not encoded as base64url")]
    Encoding(#[from] jsonwebtoken::errors::Error),
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl KeySet {
    /// Parses a set. Fails if it contains no key that can verify signatures.
    pub(crate) fn from_json(text: &str) -> Result<Self, String> {
        let set: JwkSet =
            serde_json::from_str(text).map_err(|error| format!("is not a JWK Set: {error}"))?;
        let (mut keys, mut errors) = (HashMap::new(), Vec::new());
        for (place, jwk) in set.keys.into_iter().enumerate() {
            let kid = jwk["kid"].as_str().map_or_else(|| "without kid".to_owned(), str::to_owned);
            let added = serde_json::from_value::<Jwk>(jwk).map_err(JwkError::from);
            if let Err(error) = added.and_then(|jwk| jwk.add_to(&mut keys)) {
                errors.push(format!("key {} ({kid}) {error}", place + 1));
            }
        }
        if keys.is_empty() {
            errors.push("contains no key that can verify signatures".to_owned());
            return Err(errors.join("; "));
        }
        Ok(Self { keys, errors })
    }

    /// Logs the keys that cannot be used.
    pub(crate) fn report(&self, origin: &str) {
        for error in &self.errors {
            tracing::error!(origin, error, "key of the set cannot be used");
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &VerificationKey)> {
        self.keys.iter()
    }
}

impl Jwk {
    fn add_to(&self, keys: &mut HashMap<String, VerificationKey>) -> Result<(), JwkError> {
        if self.kty == "oct" {
            return Err(JwkError::Symmetric);
        }
        if self.d.is_some() {
            return Err(KeyError::Private.into());
        }
        // Keys for other purposes and of unknown types are ignored (RFC 7517, section 5).
        let Some(algorithms) = self.algorithms().filter(|_| self.checks_signatures()) else {
            return Ok(());
        };
        let Some(algorithm) = self.algorithm_of(algorithms)? else { return Ok(()) };
        let kid = self.kid.clone().ok_or(JwkError::NoKid)?;
        let key = VerificationKey::checked(algorithm, self.key()?)?;
        match keys.entry(kid) {
            Entry::Occupied(_) => Err(JwkError::SharedKid),
            Entry::Vacant(place) => {
                place.insert(key);
                Ok(())
            }
        }
    }

    fn checks_signatures(&self) -> bool {
        self.usage.as_ref().is_none_or(|usage| usage == "sig")
            && self.key_ops.as_ref().is_none_or(|all| all.iter().any(|it| it == "verify"))
    }

    /// The algorithms for a key of this type, the default first.
    fn algorithms(&self) -> Option<&'static [Algorithm]> {
        use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => Some(&[RS256, RS384, RS512, PS256, PS384, PS512]),
            ("EC", Some("P-256")) => Some(&[ES256]),
            ("EC", Some("P-384")) => Some(&[ES384]),
            ("OKP", Some("Ed25519")) => Some(&[EdDSA]),
            _ => None,
        }
    }

    /// The algorithm that the key names, or the default. `None` for an unknown algorithm, because
    /// the key may be for another reader of the set. A known algorithm that does not fit the key
    /// type is an error.
    fn algorithm_of(&self, possible: &[Algorithm]) -> Result<Option<Algorithm>, JwkError> {
        let named = match self.alg.as_deref() {
            None => return Ok(possible.first().copied()),
            // RFC 9864 names EdDSA after its curve.
            Some("Ed25519") => Algorithm::EdDSA,
            Some(name) => match name.parse() {
                Ok(algorithm) => algorithm,
                Err(_) => return Ok(None),
            },
        };
        if possible.contains(&named) {
            Ok(Some(named))
        } else {
            Err(JwkError::AlgorithmMismatch(self.alg.clone().unwrap_or_default()))
        }
    }

    fn key(&self) -> Result<DecodingKey, jsonwebtoken::errors::Error> {
        match self.kty.as_str() {
            "RSA" => DecodingKey::from_rsa_components(&self.n, &self.e),
            "EC" => DecodingKey::from_ec_components(&self.x, &self.y),
            _ => DecodingKey::from_ed_components(&self.x),
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD as URL_SAFE_NO_PAD;
    use serde_json::{Value, json};

    use super::*;

    fn ed25519(change: &[(&str, Value)]) -> Value {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        changed(json!({ "kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": x }), change)
    }

    fn p256(change: &[(&str, Value)]) -> Value {
        let x = "dm12ILmsugp2Kzu7nBqt6rVxORSRzN55BuJZ5ctohWM";
        let y = "H9MuqqKrMrUQYExSGVXX9ckbBtb38dUqJVIUJcYjmCY";
        changed(json!({ "kty": "EC", "crv": "P-256", "kid": "ec", "x": x, "y": y }), change)
    }

    fn changed(mut key: Value, change: &[(&str, Value)]) -> Value {
        for (name, value) in change {
            key[name] = value.clone();
        }
        key
    }

    /// The keys of a set, as `kid` and algorithm.
    fn read(keys: &[Value]) -> Result<Vec<(String, Algorithm)>, String> {
        let set = KeySet::from_json(&json!({ "keys": keys }).to_string())?;
        let mut keys: Vec<_> = set.iter().map(|(kid, key)| (kid.clone(), key.algorithm)).collect();
        keys.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(keys)
    }

    #[test]
    fn each_key_has_the_algorithm_that_it_names_or_that_of_its_type() {
        for name in ["EdDSA", "Ed25519"] {
            let keys = [ed25519(&[("alg", json!(name))]), p256(&[])];
            let expected =
                [("ec".to_owned(), Algorithm::ES256), ("ed".to_owned(), Algorithm::EdDSA)];
            assert_eq!(read(&keys).unwrap(), expected);
        }
    }

    #[test]
    fn keys_of_other_purposes_or_unknown_types_are_ignored() {
        let keys = [
            ed25519(&[("use", json!("sig")), ("key_ops", json!(["verify"]))]),
            p256(&[("use", json!("enc"))]),
            p256(&[("key_ops", json!(["deriveKey"]))]),
            p256(&[("crv", json!("secp256k1"))]),
            p256(&[("alg", json!("ECDH-ES"))]),
            json!({ "kty": "AKP", "alg": "ML-DSA-44", "pub": "" }),
        ];
        assert_eq!(read(&keys).unwrap(), [("ed".to_owned(), Algorithm::EdDSA)]);
        assert!(read(&keys[1..]).unwrap_err().contains("contains no key"));
    }

    #[test]
    fn unusable_keys_are_reported_and_the_others_are_used() {
        let odd = [
            json!(17),
            ed25519(&[("kid", json!("listless")), ("key_ops", json!("verify"))]),
            ed25519(&[]),
            ed25519(&[("kid", Value::Null)]),
            ed25519(&[("alg", json!("ES256")), ("kid", json!("swapped"))]),
            p256(&[("alg", json!("HS256")), ("kid", json!("symmetric"))]),
            p256(&[("y", json!("AAAA")), ("kid", json!("off"))]),
            p256(&[("x", json!("?")), ("kid", json!("garbled"))]),
            p256(&[("d", json!("AAAA")), ("kid", json!("private"))]),
            json!({ "kty": "oct", "kid": "shared", "k": "c2VjcmV0", "use": "enc" }),
            json!({ "kty": "RSA", "kid": "short", "n": "AQAB", "e": "AQAB" }),
        ];
        let set = [&[ed25519(&[])], &odd[..]].concat();
        assert_eq!(read(&set).unwrap(), [("ed".to_owned(), Algorithm::EdDSA)]);
        let set = KeySet::from_json(&json!({ "keys": set }).to_string()).unwrap();
        let report = set.errors.join("; ");
        for error in [
            "key 2 (without kid) is not a key",
            "key 3 (listless) is not a key",
            "key 4 (ed) has the kid of an earlier key",
            "key 5 (without kid) has no kid",
            "key 6 (swapped) names the algorithm ES256",
            "key 7 (symmetric) names the algorithm HS256",
            "key 8 (off) is not a point on its curve, P-256",
            "key 9 (garbled) is not encoded",
            "key 10 (private) is a private key",
            "key 11 (shared) is symmetric",
            "key 12 (short) must have an odd RSA modulus of 2048",
        ] {
            assert!(report.contains(error), "{error} is missing in: {report}");
        }
        assert!(!report.contains("c2VjcmV0"), "{report}");
    }

    #[test]
    fn an_rsa_key_with_an_unsafe_modulus_or_exponent_is_refused() {
        let modulus = URL_SAFE_NO_PAD.encode([0xC1; 256]);
        let even = URL_SAFE_NO_PAD.encode([0xC0; 256]);
        // 2047 bits.
        let short = URL_SAFE_NO_PAD.encode([0x71; 256]);
        let key = |n: &str, e| json!({ "kty": "RSA", "kid": "rsa", "n": n, "e": e });
        assert!(read(&[key(&modulus, "AQAB")]).is_ok());
        let no_exponent = json!({ "kty": "RSA", "kid": "rsa", "n": modulus });
        // The exponents 1 and 2, and one of 40 bits.
        let exponents = ["AQ", "Ag", "gQAAAAE"].map(|e| key(&modulus, e));
        for key in
            exponents.into_iter().chain([no_exponent, key(&even, "AQAB"), key(&short, "AQAB")])
        {
            let report = read(&[key]).unwrap_err();
            let error = "must have an odd RSA modulus of 2048 to 8192 bits, and an odd exponent \
                         of 2 to 33 bits";
            assert!(report.starts_with(&format!("key 1 (rsa) {error}")), "{report}");
        }
    }

    #[test]
    fn a_key_set_without_usable_keys_is_refused() {
        for text in ["", "{}", "[]"] {
            assert!(KeySet::from_json(text).unwrap_err().starts_with("is not a JWK Set"), "{text}");
        }
        for text in [r#"{"keys":[]}"#, r#"{"keys":[{}]}"#] {
            assert!(KeySet::from_json(text).unwrap_err().contains("contains no key"), "{text}");
        }
    }
}
