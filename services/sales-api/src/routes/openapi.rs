//! `GET /openapi.json`, and a page at `/docs` that renders it without a look at the internet.

use std::sync::LazyLock;

use actix_web::HttpResponse;
use actix_web::http::header::ContentType;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::openapi::document;
use crate::problem::ApiError;

/// Where the description is.
pub(crate) const PATH: &str = "/openapi.json";

/// Made once: it does not change while the process runs.
static DOCUMENT: LazyLock<Result<String, serde_json::Error>> =
    LazyLock::new(|| serde_json::to_string(&document()));

pub(crate) async fn openapi() -> Result<HttpResponse, ApiError> {
    let document = DOCUMENT.as_ref().map_err(|error| ApiError::Internal(error.into()))?;
    Ok(HttpResponse::Ok().content_type(ContentType::json()).body(document.as_str()))
}

/// The page. Everything it needs is in the binary.
pub(crate) fn page() -> SwaggerUi {
    SwaggerUi::new("/docs/{file:.*}").config(Config::from(PATH).validator_url("none"))
}
