//! `GET /api/orders/{orderId}`.

use actix_web::http::header::{
    CACHE_CONTROL, ContentType, ETag, EntityTag, Header, IF_NONE_MATCH, IfNoneMatch,
};
use actix_web::{HttpRequest, HttpResponse, web};
use auth::Caller;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contracts::http::{
    CancellationRefusal, CancellationRequest, CancellationState, OrderDetails, StatusChange,
    Success,
};
use domain::OrderStatus;
use sha2::{Digest, Sha256};
use store::Database;
use store::orders::{self, Cancellation, OrderWithHistory};

use crate::http::admission::Permit;
use crate::http::examples;
use crate::http::extract::Authenticated;
use crate::http::problem::ApiError;
use crate::orders::get;

/// Returns an order with its history
#[utoipa::path(
    get,
    path = "/api/orders/{orderId}",
    tag = "orders",
    security(("bearer" = [])),
    params(
        ("orderId" = String, Path, description = "The order", example = "01990000-0000-7000-8000-000000000001"),
        (
            "If-None-Match" = Option<String>, Header,
            description = "The ETag of the last response",
            nullable = false,
            example = r#"W/"q83vASNFZ4mrze8B""#
        )
    ),
    responses(
        (
            status = 200,
            description = "The order with its current status",
            body = Success<OrderDetails>,
            headers(("ETag" = String, description = "Identifies this state of the order")),
            example = json!(examples::order())
        ),
        (
            status = 304,
            description = "The order has not changed since the response with this ETag",
            headers(("ETag" = String, description = "Identifies this state of the order"))
        )
    )
)]
pub(crate) async fn get_order(
    Authenticated(caller): Authenticated,
    _permit: Permit,
    request: HttpRequest,
    order_id: web::Path<String>,
    database: web::Data<Database>,
) -> Result<HttpResponse, ApiError> {
    // No order has a malformed id.
    let order_id = order_id.parse().map_err(|_| ApiError::NoOrder)?;
    let order = get::get_order(&database, &caller, order_id).await?;
    let body = serde_json::to_string(&Success::new(details(&caller, order)))
        .map_err(|error| ApiError::Internal(error.into()))?;
    Ok(conditional_response(&request, body))
}

/// 304 if the client has this state already (RFC 9110, section 13.1.2). The tag is weak, because
/// compressed and uncompressed responses have the same tag.
fn conditional_response(request: &HttpRequest, body: String) -> HttpResponse {
    let digest = Sha256::digest(&body);
    let tag = EntityTag::new_weak(URL_SAFE_NO_PAD.encode(&digest[..12]));
    let known = match IfNoneMatch::parse(request) {
        Ok(IfNoneMatch::Any) => request.headers().contains_key(IF_NONE_MATCH),
        Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|known| known.weak_eq(&tag)),
        Err(_) => false,
    };
    let mut response = if known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response.insert_header(ETag(tag)).insert_header((CACHE_CONTROL, "private, no-cache"));
    if known { response.finish() } else { response.content_type(ContentType::json()).body(body) }
}

/// The order as the API returns it to a caller.
pub(super) fn details(caller: &Caller, found: OrderWithHistory) -> OrderDetails {
    let updated_at = found.updated_at();
    let OrderWithHistory { order, history, cancellation } = found;
    let status_history = history.iter().map(|change| status_change(change, cancellation.as_ref()));
    OrderDetails {
        order_id: order.id,
        status: order.status,
        customer_id: order.customer_id,
        owner: caller.is_operator().then_some(order.owner),
        external_reference: order.external_reference,
        items: order.lines.iter().map(Into::into).collect(),
        total_amount: order.total,
        currency: order.currency.to_string(),
        metadata: order.metadata,
        created_at: order.created_at,
        updated_at,
        status_history: status_history.collect(),
        cancellation: cancellation.as_ref().map(|request| match request {
            _ if order.status == OrderStatus::Cancelled => CancellationState::Cancelled,
            Cancellation { refusal: Some(_), .. } => CancellationState::Refused,
            Cancellation { refusal: None, .. } => CancellationState::Requested,
        }),
        cancellation_request: cancellation.map(cancellation_request),
    }
}

fn status_change(
    change: &orders::StatusChange,
    cancellation: Option<&Cancellation>,
) -> StatusChange {
    let cause = cancellation.filter(|_| change.status == OrderStatus::Cancelled);
    StatusChange {
        status: change.status,
        at: change.at,
        reason: cause.and_then(|request| request.reason.clone()),
        requested_by: cause.map(|request| request.requested_by.clone()),
    }
}

fn cancellation_request(request: Cancellation) -> CancellationRequest {
    let Cancellation { requested_by, reason, requested_at, refusal } = request;
    let refusal = refusal.map(|(reason, at)| CancellationRefusal { reason, at });
    CancellationRequest { requested_by, reason, requested_at, refusal }
}
