//! The cookies: the operator's token, and the text that the sign-in must repeat.

use std::str::FromStr;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::cookie::{Cookie, SameSite, time};

/// The cookie with the operator's token.
pub(crate) const SESSION: CookieName =
    CookieName { plain: "console_session", of_host: "__Host-console_session" };
/// The cookie with a random text, which the form of the sign-in must repeat. Another site cannot read
/// it.
pub(crate) const SIGN_IN: CookieName =
    CookieName { plain: "console_sign_in", of_host: "__Host-console_sign_in" };

/// The name of a cookie. Browsers accept the prefix only over https, and then no other host of the
/// domain can set the cookie (RFC 6265bis, section 4.1.3.2).
#[derive(Clone, Copy)]
pub(crate) struct CookieName {
    plain: &'static str,
    of_host: &'static str,
}

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
    pub(crate) fn cookie(
        self,
        name: CookieName,
        value: String,
        lifetime: Duration,
    ) -> Cookie<'static> {
        Cookie::build(self.name(name), value)
            .path("/")
            .http_only(true)
            .same_site(SameSite::Strict)
            .secure(self.0)
            .max_age(lifetime.try_into().unwrap_or(time::Duration::MAX))
            .finish()
    }

    /// Makes the browser forget a cookie.
    pub(crate) fn removal(self, name: CookieName) -> Cookie<'static> {
        self.cookie(name, String::new(), Duration::ZERO)
    }

    /// The value of a cookie of the request.
    pub(crate) fn value(self, request: &HttpRequest, name: CookieName) -> Option<String> {
        request.cookie(self.name(name)).map(|cookie| cookie.value().to_owned())
    }

    const fn name(self, name: CookieName) -> &'static str {
        if self.0 { name.of_host } else { name.plain }
    }
}
