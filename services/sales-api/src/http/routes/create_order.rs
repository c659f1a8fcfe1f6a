//! `POST /api/orders`.

use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, web};
use contracts::http::{CreateOrder as CreateOrderBody, CreatedOrder, IDEMPOTENT_REPLAYED, Success};
use domain::{Currency, OrderStatus};
use store::orders::{NewOrder, Order};

use crate::http::examples;
use crate::http::extract::Authenticated;
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
    Authenticated(caller): Authenticated,
    cause: web::ReqData<Cause>,
    create: web::Data<CreateOrder>,
    request: HttpRequest,
    body: JsonBody,
) -> Result<HttpResponse, ApiError> {
    let (key, draft) = order_request(&request, &body, &create.currencies)?;
    let currency = draft.currency();
    let placed = create.place(caller.owner, key, draft, cause.into_inner()).await?;
    let mut response = HttpResponse::Created();
    let order = match placed {
        Placed::Created(order) => created(&order),
        Placed::Replayed(order) => {
            response.insert_header((IDEMPOTENT_REPLAYED, "true"));
            replayed(order, currency)
        }
    };
    response.insert_header((LOCATION, format!("/api/orders/{}", order.order_id)));
    Ok(response.json(Success::new(order)))
}

/// The fields that never change.
fn created(order: &NewOrder) -> CreatedOrder {
    let draft = &order.draft;
    CreatedOrder {
        order_id: order.id,
        status: OrderStatus::PendingShipment,
        customer_id: draft.customer_id().to_string(),
        external_reference: draft.external_reference().map(ToString::to_string),
        items: draft.lines().iter().map(Into::into).collect(),
        total_amount: draft.total(),
        currency: draft.currency().as_ref().map(Currency::to_string),
        metadata: draft.metadata().into(),
        created_at: order.created_at,
    }
}

/// The first response, whatever the current status is. `named` is the currency in the request, which
/// is in the response only if the request has it: an order that an earlier version stored has the
/// response of that version.
fn replayed(order: Order, named: Option<Currency>) -> CreatedOrder {
    CreatedOrder {
        order_id: order.id,
        status: OrderStatus::PendingShipment,
        customer_id: order.customer_id,
        external_reference: order.external_reference,
        items: order.lines.iter().map(Into::into).collect(),
        total_amount: order.total,
        currency: named.as_ref().map(Currency::to_string),
        metadata: order.metadata,
        created_at: order.created_at,
    }
}
