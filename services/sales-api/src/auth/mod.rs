//! Tokens: JWTs (RFC 7519), verified with a secret, a public key or the keys of a set.
//!
//! The header of a token selects the key of the set, and nothing else.

mod claims;
mod issuer_keys;
mod jwks;
mod keys;
mod settings;
mod verifier;

pub(crate) use self::claims::{Caller, TokenError};
pub(crate) use self::settings::TokenSettings;
pub(crate) use self::verifier::TokenVerifier;
