//! The style, the script and the icon. They are part of the program, and nothing comes from another
//! host.

use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use actix_web::{HttpResponse, web};

/// A file that pages refer to.
pub(crate) struct Asset {
    name: &'static str,
    content_type: &'static str,
    content: &'static str,
}

pub(crate) const STYLE: Asset = Asset {
    name: "console.css",
    content_type: "text/css; charset=utf-8",
    content: include_str!("../assets/console.css"),
};
pub(crate) const SCRIPT: Asset = Asset {
    name: "console.js",
    content_type: "text/javascript; charset=utf-8",
    content: include_str!("../assets/console.js"),
};
pub(crate) const ICON: Asset = Asset {
    name: "icon.svg",
    content_type: "image/svg+xml",
    content: include_str!("../assets/icon.svg"),
};

impl Asset {
    /// The path, with the version of the program, so that browsers can keep the file.
    pub(crate) fn url(&self) -> String {
        let version = service_kit::telemetry::build_info::revision();
        format!("/assets/{}?v={version}", self.name)
    }
}

/// `GET /assets/{name}`.
pub(crate) async fn asset(name: web::Path<String>) -> HttpResponse {
    match [STYLE, SCRIPT, ICON].into_iter().find(|asset| asset.name == *name) {
        Some(Asset { content_type, content, .. }) => HttpResponse::Ok()
            .insert_header((CONTENT_TYPE, content_type))
            .insert_header((CACHE_CONTROL, "public, max-age=3600"))
            .body(content),
        None => HttpResponse::NotFound().finish(),
    }
}
