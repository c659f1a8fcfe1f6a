//! `POST /api/orders`.

use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use contracts::http::{CreateOrder as CreateOrderBody, CreatedOrder, IDEMPOTENT_REPLAYED, Success};
use domain::{Money, OrderId, OrderLine, OrderStatus};

use crate::auth::Caller;
use crate::http::examples;
use crate::http::extract::body::JsonBody;
use crate::http::extract::order_request;
use crate::http::problem::ApiError;
use crate::orders::Cause;
use crate::orders::create::{CreateOrder, Placed};

/// Places an order
///
/// The response contains only fields that never change, so that a replay with the same key gets the
/// same bytes. A refused create does not use up the key.
#[utoipa::path(
    post,
    path = "/api/orders",
    tag = "orders",
    security(("bearer" = [])),
    params(
        (
            "Idempotency-Key" = String, Header,
            description = "The client's name for this create: 1 to 255 printable ASCII characters, \
                bare or as a quoted string (RFC 9651)",
            pattern = r#"^(?:[!#-~](?:[ -~]{0,253}[!-~])?|"(?:[ !#-\[\]-~]|\\["\\]){1,255}")$"#,
            example = "order-17"
        ),
        (
            "X-Correlation-ID" = Option<String>, Header,
            description = "The id of everything that the request causes; an id that does not match \
                [A-Za-z0-9._-]{1,128} is replaced",
            nullable = false,
            example = "checkout-17"
        )
    ),
    request_body(content = CreateOrderBody, example = json!(examples::create_order())),
    responses((
        status = 201,
        description = "The order is stored. With Idempotent-Replayed, an earlier request with the same key stored it",
        body = Success<CreatedOrder>,
        headers(
            ("Location" = String, description = "The path of the order"),
            ("Idempotent-Replayed" = Option<bool>, description = "`true` on a replay")
        ),
        example = json!(examples::created_order())
    ))
)]
pub(crate) async fn create_order(
    caller: Caller,
    cause: web::ReqData<Cause>,
    create: web::Data<CreateOrder>,
    request: HttpRequest,
    body: JsonBody,
) -> Result<HttpResponse, ApiError> {
    let (key, draft) = order_request(&request, &body)?;
    let placed = create.place(caller.owner, key, draft, cause.into_inner()).await?;
    let mut response = HttpResponse::Created();
    let order = match placed {
        Placed::Created(order) => {
            let (customer_id, lines) = (order.draft.customer_id().to_string(), order.draft.lines());
            created(order.id, customer_id, lines, order.draft.total(), order.created_at)
        }
        Placed::Replayed(order) => {
            response.insert_header((IDEMPOTENT_REPLAYED, "true"));
            created(order.id, order.customer_id, &order.lines, order.total, order.created_at)
        }
    };
    response.insert_header((LOCATION, format!("/api/orders/{}", order.order_id)));
    Ok(response.json(Success::new(order)))
}

/// The fields that never change. A replay gets the first response, whatever the current status is.
fn created(
    order_id: OrderId,
    customer_id: String,
    lines: &[OrderLine],
    total_amount: Money,
    created_at: DateTime<Utc>,
) -> CreatedOrder {
    let (status, items) = (OrderStatus::PendingShipment, lines.iter().map(Into::into).collect());
    CreatedOrder { order_id, status, customer_id, items, total_amount, created_at }
}
