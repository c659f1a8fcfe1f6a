//! The cookies: the operator's token, and the token that forms must repeat.

use std::str::FromStr;

use actix_web::HttpRequest;
use actix_web::cookie::time::Duration;
use actix_web::cookie::{Cookie, SameSite};

/// The cookie with the operator's token.
pub(crate) const SESSION: &str = "console_session";
/// The cookie with a random text, which a form that changes something must repeat. Another site cannot
/// read it.
pub(crate) const FORM_TOKEN: &str = "console_form_token";

/// Whether browsers send cookies only over https.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SecureCookies(bool);

impl FromStr for SecureCookies {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "on" => Ok(Self(true)),
            "off" => Ok(Self(false)),
            _ => Err("must be on or off"),
        }
    }
}

impl SecureCookies {
    /// A cookie that no script reads and no other site sends.
    pub(crate) fn cookie(self, name: &str, value: String, lifetime: Duration) -> Cookie<'_> {
        Cookie::build(name, value)
            .path("/")
            .http_only(true)
            .same_site(SameSite::Strict)
            .secure(self.0)
            .max_age(lifetime)
            .finish()
    }

    /// Makes the browser forget a cookie.
    pub(crate) fn removal(self, name: &str) -> Cookie<'_> {
        self.cookie(name, String::new(), Duration::ZERO)
    }
}

/// The value of a cookie of the request.
pub(crate) fn value(request: &HttpRequest, name: &str) -> Option<String> {
    request.cookie(name).map(|cookie| cookie.value().to_owned())
}
