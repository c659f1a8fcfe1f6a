//! `GET /openapi.json`, and a page at `/docs/` that renders it without a look at the internet.

use std::sync::{Arc, LazyLock};

use actix_web::http::header::{CACHE_CONTROL, ContentType, LOCATION};
use actix_web::{HttpResponse, web};
use utoipa_swagger_ui::{Config, serve};

use crate::openapi::document;
use crate::problem::ApiError;

/// Where the description is.
pub(crate) const PATH: &str = "/openapi.json";
/// Where somebody looks for the page.
pub(crate) const DOCS: &str = "/docs";
/// The page, when `file` is empty, and what it needs. All of it is in the binary.
pub(crate) const PAGE: &str = "/docs/{file:.*}";

/// It changes with a release of the service, and belongs to nobody.
const KEEP: (actix_web::http::header::HeaderName, &str) = (CACHE_CONTROL, "public, max-age=300");

/// Made once: it does not change while the process runs.
static DOCUMENT: LazyLock<Result<String, serde_json::Error>> =
    LazyLock::new(|| serde_json::to_string(&document()));

static SWAGGER_UI: LazyLock<Arc<Config<'static>>> =
    LazyLock::new(|| Arc::new(Config::from(PATH).validator_url("none")));

pub(crate) async fn openapi() -> Result<HttpResponse, ApiError> {
    let document = DOCUMENT.as_ref().map_err(|error| ApiError::Internal(error.into()))?;
    let mut answer = HttpResponse::Ok();
    Ok(answer.insert_header(KEEP).content_type(ContentType::json()).body(document.as_str()))
}

pub(crate) async fn docs() -> HttpResponse {
    HttpResponse::TemporaryRedirect().insert_header((LOCATION, "/docs/")).finish()
}

pub(crate) async fn page(file: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let found = serve(&file, SWAGGER_UI.clone());
    let file = found.map_err(|error| ApiError::Internal(error.to_string().into()))?;
    let file = file.ok_or(ApiError::NoRoute)?;
    let mut answer = HttpResponse::Ok();
    Ok(answer.insert_header(KEEP).content_type(file.content_type).body(file.bytes.into_owned()))
}

#[cfg(test)]
mod tests {
    use std::{env, fs, path::Path};

    use actix_web::{App, test};
    use serde_json::Value;

    use super::*;

    /// For developers of clients, who then need no running API.
    const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");

    #[actix_web::test]
    async fn the_committed_document_is_what_the_api_serves() {
        let api = test::init_service(App::new().configure(super::super::configure)).await;
        let request = test::TestRequest::get().uri(PATH).to_request();
        let served: Value = test::call_and_read_body_json(&api, request).await;
        if env::var_os("UPDATE_CONTRACTS").is_some() {
            // Of the document itself, whose members are in the order of OpenAPI.
            let text = serde_json::to_string_pretty(&document()).unwrap();
            fs::write(COMMITTED, text + "\n").unwrap();
        }
        let committed = fs::read_to_string(Path::new(COMMITTED)).unwrap_or_default();
        assert!(
            serde_json::from_str::<Value>(&committed).is_ok_and(|committed| committed == served),
            "docs/openapi.json is not what the API serves; `make contracts` writes it"
        );
    }
}
