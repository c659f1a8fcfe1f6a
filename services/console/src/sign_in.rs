//! Signing in with a token, and out.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Form, Query};
use actix_web::{HttpRequest, HttpResponse};
use auth::{TokenError, TokenVerifier};
use maud::{Markup, html};
use serde::Deserialize;
use url::{Position, Url};
use uuid::Uuid;

use crate::cookies::{SESSION, SIGN_IN, SecureCookies};
use crate::operator::{form_token_of, session};
use crate::page;
use crate::security::is_same_origin;

/// Browsers drop longer cookies.
const MAX_COOKIE_BYTES: usize = 3_900;
/// Any address, to parse relative ones.
const BASE: &str = "http://console.invalid/";

/// Where to go after the sign-in.
#[derive(Deserialize)]
pub(crate) struct Next {
    #[serde(default)]
    next: String,
}

impl Next {
    /// A path of this console, whatever the address contains. Browsers read addresses leniently, so
    /// they are parsed as browsers do.
    fn path(&self) -> String {
        let ours = || {
            let base = Url::parse(BASE).ok()?;
            let url = base.join(&self.next).ok()?;
            (url.origin() == base.origin())
                .then(|| url[Position::BeforePath..Position::AfterQuery].to_owned())
        };
        ours().unwrap_or_else(|| "/".to_owned())
    }
}

/// `GET /sign-in`.
pub(crate) async fn form(
    request: HttpRequest,
    next: Query<Next>,
    cookies: Data<SecureCookies>,
) -> HttpResponse {
    let known = cookies.value(&request, SIGN_IN).filter(|it| Uuid::try_parse(it).is_ok());
    let secret = known.unwrap_or_else(|| Uuid::new_v4().simple().to_string());
    let mut page = page::message(StatusCode::OK, "Sign in", &form_content(&secret, &next, None));
    // A failure leaves the browser without the cookie, and the sign-in then tells it.
    let _ = page.add_cookie(&cookies.cookie(SIGN_IN, secret, Duration::from_hours(24)));
    page
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SignIn {
    form_token: String,
    token: String,
}

/// `POST /sign-in`.
pub(crate) async fn sign_in(
    request: HttpRequest,
    next: Query<Next>,
    form: Form<SignIn>,
    verifier: Data<TokenVerifier>,
    cookies: Data<SecureCookies>,
) -> HttpResponse {
    let secret = cookies.value(&request, SIGN_IN).unwrap_or_default();
    if !is_same_origin(&request) || secret.is_empty() || secret != form.form_token {
        let content = html! {
            p { "The form was not from this page, or the browser keeps no cookies." }
            p { a href="/sign-in" { "Try again" } }
        };
        return page::message(StatusCode::FORBIDDEN, "Sign in", &content);
    }
    let token = form.token.trim();
    verifier.fetch_key_of(token).await;
    let (status, reason) = match verifier.verify(token) {
        Ok(_) if token.len() > MAX_COOKIE_BYTES => {
            let reason =
                "The token is too long for a cookie. Let a proxy send it, see docs/CONSOLE.md.";
            (StatusCode::BAD_REQUEST, reason.to_owned())
        }
        Ok(caller) if caller.is_operator() => {
            let cookie = cookies.cookie(SESSION, token.to_owned(), caller.time_left());
            return HttpResponse::SeeOther()
                .insert_header((LOCATION, next.path()))
                .cookie(cookie)
                .finish();
        }
        Ok(_) => (StatusCode::FORBIDDEN, "The token does not have the role operator.".to_owned()),
        Err(TokenError::NoKeys) => {
            let reason = "The keys of the issuer are not known yet. Try again.";
            (StatusCode::SERVICE_UNAVAILABLE, reason.to_owned())
        }
        Err(error) => (StatusCode::UNAUTHORIZED, format!("Not accepted: {error}.")),
    };
    page::message(status, "Sign in", &form_content(&secret, &next, Some(&reason)))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SignOut {
    form_token: String,
}

/// `POST /sign-out`.
pub(crate) async fn sign_out(
    request: HttpRequest,
    form: Form<SignOut>,
    cookies: Data<SecureCookies>,
) -> HttpResponse {
    let own = session(&request).is_none_or(|token| form_token_of(&token) == form.form_token);
    if !own || !is_same_origin(&request) {
        let content = html! {
            p { "The form was out of date, and you are still signed in." }
            p { a href="/" { "Back" } }
        };
        return page::message(StatusCode::FORBIDDEN, "Not signed out", &content);
    }
    HttpResponse::SeeOther()
        .insert_header((LOCATION, "/sign-in"))
        .cookie(cookies.removal(SESSION))
        .finish()
}

fn form_content(secret: &str, next: &Next, reason: Option<&str>) -> Markup {
    html! {
        section.narrow {
            @if let Some(reason) = reason { p.failure role="alert" { (reason) } }
            form method="post" action=(format!("/sign-in?next={}", encoded(&next.path()))) data-sign-in {
                input type="hidden" name="formToken" value=(secret);
                label { "Token of an operator"
                    textarea name="token" required autocomplete="off" spellcheck="false" {}
                }
                p.note { "For example the output of " code { "salesctl token --operator --subject YOUR-NAME" } "." }
                button { "Sign in" }
            }
        }
    }
}

fn encoded(path: &str) -> String {
    url::form_urlencoded::byte_serialize(path.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_returns_only_to_a_path_of_the_console() {
        let path = |next: &str| Next { next: next.to_owned() }.path();
        assert_eq!(path("/orders?status=Shipped"), "/orders?status=Shipped");
        for refused in [
            "",
            "https://example.org",
            "//example.org",
            "/\\example.org",
            "/\t/example.org",
            "javascript:x",
        ] {
            assert_eq!(path(refused), "/", "{refused:?}");
        }
        assert_eq!(path("/a\r\nB: c"), "/aB:%20c");
    }
}
