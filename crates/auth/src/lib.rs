#![doc = include_str!("../README.md")]

mod bearer;
mod claims;
mod issuer_keys;
mod jwks;
mod keys;
mod settings;
mod verifier;

pub use bearer::bearer_token;
pub use claims::{Caller, TokenError};
pub use settings::TokenSettings;
pub use verifier::TokenVerifier;
