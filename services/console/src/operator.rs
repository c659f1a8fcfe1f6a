//! The operator who views a page, from the `Authorization` header that a proxy sets, or from the cookie
//! of the sign-in.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use actix_web::body::BoxBody;
use actix_web::dev::Payload;
use actix_web::http::header::{AUTHORIZATION, HeaderValue, LOCATION};
use actix_web::http::{Method, StatusCode};
use actix_web::{FromRequest, HttpRequest, HttpResponse, ResponseError, web};
use auth::{TokenError, TokenVerifier, bearer_token};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::Owner;
use maud::html;
use sha2::{Digest, Sha256};
use url::form_urlencoded::byte_serialize;

use crate::cookies::{SESSION, SecureCookies};
use crate::page;
use crate::security::is_same_origin;

/// An operator.
#[derive(Clone)]
pub(crate) struct Operator {
    /// The subject of the token.
    pub(crate) name: Owner,
    /// Time until the token expires.
    pub(crate) time_left: Duration,
    /// The text that a form must repeat.
    pub(crate) form_token: String,
}

/// Why a page is not shown.
#[derive(Debug)]
pub(crate) enum Denied {
    /// There is no valid token: the path to return to after the sign-in.
    SignIn(String),
    /// The `Authorization` header has no valid token.
    WrongToken(TokenError),
    /// The token is not that of an operator.
    NotOperator(String),
    /// The keys of the issuer are not known yet.
    NoKeys,
}

impl FromRequest for Operator {
    type Error = Denied;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Denied>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { operator(&request).await })
    }
}

async fn operator(request: &HttpRequest) -> Result<Operator, Denied> {
    let Some(verifier) = request.app_data::<web::Data<TokenVerifier>>() else {
        unreachable!("the state of the app is registered");
    };
    let token = token(request)?;
    verifier.fetch_key_of(&token).await;
    let caller = verifier.verify(&token).map_err(|error| match error {
        TokenError::NoKeys => Denied::NoKeys,
        error => denied(request, error),
    })?;
    if !caller.is_operator() {
        return Err(Denied::NotOperator(caller.owner.to_string()));
    }
    let form_token = form_token_of(&token);
    let time_left = caller.time_left();
    Ok(Operator { name: caller.owner, time_left, form_token })
}

/// The text that the forms of a session repeat. Only who has the token of the session can derive it.
pub(crate) fn form_token_of(token: &str) -> String {
    let digest = Sha256::new().chain_update(b"form\0").chain_update(token).finalize();
    URL_SAFE_NO_PAD.encode(digest)
}

impl Operator {
    /// Whether a form of this operator's own pages sent the request.
    pub(crate) fn sent(&self, request: &HttpRequest, repeated: &str) -> bool {
        is_same_origin(request) && repeated == self.form_token
    }
}

/// The token of the session, if there is one. It may be invalid.
pub(crate) fn session(request: &HttpRequest) -> Option<String> {
    let cookies = request.app_data::<web::Data<SecureCookies>>()?;
    cookies.value(request, SESSION)
}

/// The token of the `Authorization` header if there is one, or else of the session.
fn token(request: &HttpRequest) -> Result<String, Denied> {
    let headers = request.headers().get_all(AUTHORIZATION).map(HeaderValue::as_bytes);
    match bearer_token(headers) {
        Ok(token) => Ok(token.to_owned()),
        Err(TokenError::Missing) => {
            session(request).ok_or_else(|| denied(request, TokenError::Missing))
        }
        Err(error) => Err(denied(request, error)),
    }
}

/// A proxy that sends a wrong token has to know; everybody else signs in.
fn denied(request: &HttpRequest, error: TokenError) -> Denied {
    if request.headers().contains_key(AUTHORIZATION) {
        return Denied::WrongToken(error);
    }
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    Denied::SignIn(if request.method() == Method::GET { path.to_owned() } else { "/".to_owned() })
}

impl std::fmt::Display for Denied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("access denied")
    }
}

impl ResponseError for Denied {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::SignIn(_) => StatusCode::SEE_OTHER,
            Self::WrongToken(_) => StatusCode::UNAUTHORIZED,
            Self::NotOperator(_) => StatusCode::FORBIDDEN,
            Self::NoKeys => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        match self {
            Self::SignIn(back) => {
                let back: String = byte_serialize(back.as_bytes()).collect();
                let to = format!("/sign-in?next={back}");
                HttpResponse::SeeOther().insert_header((LOCATION, to)).finish()
            }
            Self::WrongToken(error) => page::message(
                self.status_code(),
                "No access",
                &html! { p { "The Authorization header was not accepted: " (error) "." } },
            ),
            Self::NotOperator(name) => page::message(
                self.status_code(),
                "No access",
                &html! {
                    p { "The token of " (name) " does not have the role " code { "operator" } "." }
                    p { a href="/sign-in" { "Sign in with another token" } }
                },
            ),
            Self::NoKeys => page::message(
                self.status_code(),
                "Not available yet",
                &html! { p { "The keys that verify tokens were not read from the issuer yet. Reload the page." } },
            ),
        }
    }
}
