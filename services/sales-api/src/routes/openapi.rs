//! `GET /openapi.json`, and a page at `/docs` that renders it without a look at the internet.

use std::sync::LazyLock;

use actix_web::HttpResponse;
use actix_web::http::header::ContentType;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::openapi::document;

/// Made once: it does not change while the process runs.
static DOCUMENT: LazyLock<String> =
    LazyLock::new(|| serde_json::to_string(&document()).unwrap_or_default());

pub(crate) async fn openapi() -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::json()).body(DOCUMENT.as_str())
}

/// The page. Everything it needs is in the binary.
pub(crate) fn page() -> SwaggerUi {
    SwaggerUi::new("/docs/{file:.*}").config(Config::from("/openapi.json").validator_url("none"))
}
