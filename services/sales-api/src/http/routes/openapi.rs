//! `GET /openapi.json`, and a page at `/docs/` that renders it without access to the internet.

use std::sync::{Arc, LazyLock};

use actix_web::http::header::{CACHE_CONTROL, ContentType, LOCATION};
use actix_web::{HttpResponse, web};
use utoipa_swagger_ui::{Config, serve};

use crate::http::openapi::document;
use crate::http::problem::ApiError;

/// The path of the document.
pub(crate) const PATH: &str = "/openapi.json";
/// The path that redirects to the page.
pub(crate) const DOCS: &str = "/docs";
/// The page, if `file` is empty, and its files. All are part of the binary.
pub(crate) const PAGE: &str = "/docs/{file:.*}";

/// The document is public, and changes only with a release of the service.
const CACHE_POLICY: (actix_web::http::header::HeaderName, &str) =
    (CACHE_CONTROL, "public, max-age=300");

/// Generated once for each process.
static DOCUMENT: LazyLock<Result<String, serde_json::Error>> =
    LazyLock::new(|| serde_json::to_string(&document()));

static SWAGGER_UI: LazyLock<Arc<Config<'static>>> =
    LazyLock::new(|| Arc::new(Config::from(PATH).validator_url("none")));

pub(crate) async fn openapi() -> Result<HttpResponse, ApiError> {
    let document = DOCUMENT.as_ref().map_err(|error| ApiError::Internal(error.into()))?;
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

#[cfg(test)]
mod tests {
    use std::{env, fs, path::Path};

    use actix_web::{App, test};
    use serde_json::Value;

    use super::*;

    /// For client developers, who do not need a running API then.
    const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");

    #[actix_web::test]
    async fn the_committed_document_is_what_the_api_serves() {
        let api = test::init_service(App::new().configure(super::super::configure)).await;
        let request = test::TestRequest::get().uri(PATH).to_request();
        let served: Value = test::call_and_read_body_json(&api, request).await;
        if env::var_os("UPDATE_CONTRACTS").is_some() {
            // Written from the document, because `served` loses the order of its members.
            let text = serde_json::to_string_pretty(&document()).unwrap();
            fs::write(COMMITTED, text + "\n").unwrap();
        }
        let committed = fs::read_to_string(Path::new(COMMITTED)).unwrap_or_default();
        assert!(
            serde_json::from_str::<Value>(&committed).is_ok_and(|committed| committed == served),
            "docs/openapi.json differs from what the API serves; run `make contracts`"
        );
    }
}
