//! `GET /openapi.json`, and a page at `/docs/` that renders it without access to the internet.

use std::sync::{Arc, LazyLock};

use actix_web::http::header::{CACHE_CONTROL, ContentType, HeaderName, LOCATION};
use actix_web::{HttpResponse, web};
use utoipa_swagger_ui::{Config, serve};

pub(crate) use super::document::document;
use crate::http::problem::ApiError;

/// The path of the document.
pub(crate) const DOCUMENT: &str = "/openapi.json";
/// The path that redirects to the page.
pub(crate) const DOCS: &str = "/docs";
/// The page, if `file` is empty, and its files. All are part of the binary.
pub(crate) const PAGE: &str = "/docs/{file:.*}";

/// The document is public, and changes only with a release of the service.
const CACHE_POLICY: (HeaderName, &str) = (CACHE_CONTROL, "public, max-age=300");

/// Generated once for each process.
static TEXT: LazyLock<Result<String, serde_json::Error>> =
    LazyLock::new(|| serde_json::to_string(&document()));

static SWAGGER_UI: LazyLock<Arc<Config<'static>>> =
    LazyLock::new(|| Arc::new(Config::from(DOCUMENT).validator_url("none")));

pub(crate) async fn openapi() -> Result<HttpResponse, ApiError> {
    let document = TEXT.as_ref().map_err(|error| ApiError::Internal(error.into()))?;
    let mut response = HttpResponse::Ok();
    Ok(response
        .insert_header(CACHE_POLICY)
        .content_type(ContentType::json())
        .body(document.as_str()))
}

pub(crate) async fn docs() -> HttpResponse {
    HttpResponse::TemporaryRedirect().insert_header((LOCATION, "/docs/")).finish()
}

pub(crate) async fn page(file: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let found = serve(&file, SWAGGER_UI.clone());
    let file = found.map_err(|error| ApiError::Internal(error.to_string().into()))?;
    let file = file.ok_or(ApiError::NoRoute)?;
    let mut response = HttpResponse::Ok();
    Ok(response
        .insert_header(CACHE_POLICY)
        .content_type(file.content_type)
        .body(file.bytes.into_owned()))
}
