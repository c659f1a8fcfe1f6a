//! Several keys in one document, a JWK Set (RFC 7517): a token names its own by `kid`. So the old and the new key can both
//! be there while an issuer goes over from one to the other.
//!
//! An issuer's set is for many readers. A key that cannot be used here is told of, and keeps no other one from being used.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::keys::{KeyFault, VerificationKey};

/// The keys of a set that can be used, by `kid`.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeySet {
    keys: HashMap<String, VerificationKey>,
    /// What is wrong with the others.
    faults: Vec<String>,
}

#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<Value>,
}

/// What is looked at of a key (RFC 7518, section 6, and RFC 8037, section 2).
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
enum JwkFault {
    #[error("is no key: {0}")]
    NoKey(#[from] serde_json::Error),
    #[error("is symmetric: a secret has no place in a set of public keys")]
    Symmetric,
    #[error("has no kid")]
    NoKid,
    #[error("shares its kid with another, which counts")]
    SharedKid,
    #[error("names the algorithm {0}, which a key of its type is not for")]
    Contradiction(String),
    #[error("is not encoded as base64url")]
    Encoding(#[from] jsonwebtoken::errors::Error),
    #[error(transparent)]
    Key(#[from] KeyFault),
}

impl KeySet {
    /// Reads a set that has a key which signatures can be checked with.
    pub(crate) fn from_json(text: &str) -> Result<Self, String> {
        let set: JwkSet =
            serde_json::from_str(text).map_err(|error| format!("is no JWK Set: {error}"))?;
        let (mut keys, mut faults) = (HashMap::new(), Vec::new());
        for (place, jwk) in set.keys.into_iter().enumerate() {
            let kid = jwk["kid"].as_str().map_or_else(|| "without kid".to_owned(), str::to_owned);
            let added = serde_json::from_value::<Jwk>(jwk).map_err(JwkFault::from);
            if let Err(fault) = added.and_then(|jwk| jwk.add_to(&mut keys)) {
                faults.push(format!("key {} ({kid}) {fault}", place + 1));
            }
        }
        if keys.is_empty() {
            faults.push("holds no key that signatures can be checked with".to_owned());
            return Err(faults.join("; "));
        }
        Ok(Self { keys, faults })
    }

    /// Tells of the keys that cannot be used.
    pub(super) fn report(&self, origin: &str) {
        for fault in &self.faults {
            tracing::error!(origin, fault, "a key of the set is not used");
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &VerificationKey)> {
        self.keys.iter()
    }
}

impl Jwk {
    fn add_to(&self, keys: &mut HashMap<String, VerificationKey>) -> Result<(), JwkFault> {
        if self.kty == "oct" {
            return Err(JwkFault::Symmetric);
        }
        if self.d.is_some() {
            return Err(KeyFault::Private.into());
        }
        // Keys for other purposes, and of kinds that are not known, are passed over (RFC 7517, section 5).
        let Some(algorithms) = self.algorithms().filter(|_| self.checks_signatures()) else {
            return Ok(());
        };
        let Some(algorithm) = self.algorithm_of(algorithms)? else { return Ok(()) };
        let kid = self.kid.clone().ok_or(JwkFault::NoKid)?;
        let key = VerificationKey::checked(algorithm, self.key()?)?;
        match keys.entry(kid) {
            Entry::Occupied(_) => Err(JwkFault::SharedKid),
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

    /// What a key of this type can be used with, the usual one first.
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

    /// The one that the key names, or the usual one. `None` for one that nobody here knows: it may be for another reader
    /// of the set. A known one that contradicts the key's type is a fault.
    fn algorithm_of(&self, possible: &[Algorithm]) -> Result<Option<Algorithm>, JwkFault> {
        let named = match self.alg.as_deref() {
            None => return Ok(possible.first().copied()),
            // RFC 9864 calls EdDSA by the name of its curve.
            Some("Ed25519") => Algorithm::EdDSA,
            Some(name) => match name.parse() {
                Ok(algorithm) => algorithm,
                Err(_) => return Ok(None),
            },
        };
        if possible.contains(&named) {
            Ok(Some(named))
        } else {
            Err(JwkFault::Contradiction(self.alg.clone().unwrap_or_default()))
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
    fn keys_that_are_not_for_signatures_or_of_an_unknown_kind_are_passed_over() {
        let keys = [
            ed25519(&[("use", json!("sig")), ("key_ops", json!(["verify"]))]),
            p256(&[("use", json!("enc"))]),
            p256(&[("key_ops", json!(["deriveKey"]))]),
            p256(&[("crv", json!("secp256k1"))]),
            p256(&[("alg", json!("ECDH-ES"))]),
            json!({ "kty": "AKP", "alg": "ML-DSA-44", "pub": "" }),
        ];
        assert_eq!(read(&keys).unwrap(), [("ed".to_owned(), Algorithm::EdDSA)]);
        assert!(read(&keys[1..]).unwrap_err().contains("holds no key"));
    }

    #[test]
    fn every_fault_of_a_set_is_named_with_its_key_and_the_others_are_used() {
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
        let report = set.faults.join("; ");
        for fault in [
            "key 2 (without kid) is no key",
            "key 3 (listless) is no key",
            "key 4 (ed) shares its kid",
            "key 5 (without kid) has no kid",
            "key 6 (swapped) names the algorithm ES256",
            "key 7 (symmetric) names the algorithm HS256",
            "key 8 (off) is not a point on its curve, P-256",
            "key 9 (garbled) is not encoded",
            "key 10 (private) is a private key",
            "key 11 (shared) is symmetric",
            "key 12 (short) an RSA key must have an odd modulus of 2048",
        ] {
            assert!(report.contains(fault), "{fault} is missing in: {report}");
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
            let fault = "an RSA key must have an odd modulus of 2048 to 8192 bits, and an odd exponent \
                         of 2 to 33 bits";
            assert!(report.starts_with(&format!("key 1 (rsa) {fault}")), "{report}");
        }
    }

    #[test]
    fn what_is_no_set_or_has_no_key_is_refused() {
        for text in ["", "{}", "[]"] {
            assert!(KeySet::from_json(text).unwrap_err().starts_with("is no JWK Set"), "{text}");
        }
        for text in [r#"{"keys":[]}"#, r#"{"keys":[{}]}"#] {
            assert!(KeySet::from_json(text).unwrap_err().contains("holds no key"), "{text}");
        }
    }
}
