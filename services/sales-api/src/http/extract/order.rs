//! Parses a request to create an order.

use actix_web::HttpRequest;
use contracts::problem::Fault;
use domain::{CustomerId, IdempotencyKey, Money, OrderDraft, OrderLine, ProductId, Quantity};

use super::body_reader::BodyReader;
use super::idempotency_key::idempotency_key;
use crate::http::extract::json::{Json, Object};
use crate::http::problem::{ApiError, IDEMPOTENCY_KEY_POINTER};

/// The idempotency key and the order of a request. All errors are reported together.
pub(crate) fn order_request(
    request: &HttpRequest,
    body: &[u8],
) -> Result<(IdempotencyKey, OrderDraft), ApiError> {
    let key = idempotency_key(request);
    match (key, draft(body)) {
        (Ok(key), Ok(draft)) => Ok((key, draft)),
        (Err(ApiError::IdempotencyKey(detail)), Err(ApiError::Invalid(mut errors))) => {
            errors.push(Fault {
                pointer: IDEMPOTENCY_KEY_POINTER.to_owned(),
                detail: detail.to_owned(),
            });
            Err(ApiError::Invalid(errors))
        }
        (_, Err(error)) | (Err(error), _) => Err(error),
    }
}

fn draft(body: &[u8]) -> Result<OrderDraft, ApiError> {
    let mut too_many_items = false;
    let draft = BodyReader::read(body, |reader, json| {
        let order = reader.object("", json, &["customerId", "items"])?;
        let customer = reader.text("", &order, "customerId", CustomerId::try_from);
        let items = items(reader, &order)?;
        too_many_items = items.len() > OrderDraft::MAX_LINES;
        if too_many_items {
            return None;
        }
        let lines = lines(reader, items);
        let draft = OrderDraft::new(customer?, lines?);
        reader.check("/items", draft)
    });
    if too_many_items { Err(ApiError::TooManyItems) } else { draft }
}

fn items<'j>(reader: &mut BodyReader, order: &Object<'j>) -> Option<Vec<Json<'j>>> {
    let items = reader.field("", order, "items")?.array();
    reader.check("/items", items.ok_or("must be an array"))
}

fn lines(reader: &mut BodyReader, items: Vec<Json<'_>>) -> Option<Vec<OrderLine>> {
    let lines: Vec<_> = items
        .into_iter()
        .enumerate()
        .map(|(index, item)| line(reader, &format!("/items/{index}"), item))
        .collect();
    lines.into_iter().collect()
}

fn line(reader: &mut BodyReader, at: &str, json: Json<'_>) -> Option<OrderLine> {
    let item = reader.object(at, json, &["productId", "quantity", "price"])?;
    let product_id = reader.text(at, &item, "productId", ProductId::try_from);
    let quantity = reader.number::<Quantity>(at, &item, "quantity");
    let price = reader.number::<Money>(at, &item, "price");
    Some(OrderLine { product_id: product_id?, quantity: quantity?, price: price? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(body: &str) -> Vec<(String, String)> {
        match draft(body.as_bytes()) {
            Err(ApiError::Invalid(errors)) => {
                errors.into_iter().map(|error| (error.pointer, error.detail)).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    fn pointers(body: &str) -> Vec<String> {
        errors(body).into_iter().map(|(pointer, _)| pointer).collect()
    }

    #[test]
    fn a_body_becomes_an_order() {
        let body = r#"{"customerId":"c","items":[{"productId":"p","quantity":2,"price":29.99}]}"#;
        assert_eq!(draft(body.as_bytes()).unwrap().total().to_string(), "59.98");
    }

    #[test]
    fn all_errors_are_reported_together_with_their_pointers() {
        let body = r#"{"customerId":"","total":5,"items":[
            {"productId":"ok","quantity":1,"price":1},
            {"productId":" x","quantity":0,"price":0.001},
            {"productId":7,"quantity":1.5,"price":"29.99"},
            {"a/b":null},
            ["p",1,1]]}"#;
        assert_eq!(
            errors(body).iter().map(|(at, detail)| format!("{at} {detail}")).collect::<Vec<_>>(),
            [
                "/total is not a known field; expected customerId, items",
                "/customerId must be 1 to 64 characters long",
                "/items/1/productId must not begin or end with white space",
                "/items/1/quantity must be a whole number from 1 to 1000000",
                "/items/1/price must have at most two decimals",
                "/items/2/productId must be a string",
                "/items/2/quantity must be a whole number from 1 to 1000000",
                "/items/2/price must be a number",
                "/items/3/a~1b is not a known field; expected productId, quantity, price",
                "/items/3/productId is required",
                "/items/3/quantity is required",
                "/items/3/price is required",
                "/items/4 must be an object",
            ]
        );
    }

    #[test]
    fn an_unknown_field_alone_is_enough_to_refuse() {
        let body =
            r#"{"customerId":"c","items":[{"productId":"p","quantity":2,"price":1,"discount":1}]}"#;
        assert_eq!(pointers(body), ["/items/0/discount"]);
    }

    #[test]
    fn the_old_name_of_a_price_is_refused_and_the_error_names_the_new_one() {
        let body =
            r#"{"customerId":"c","items":[{"productId":"p","quantity":2,"unitPrice":29.99}]}"#;
        let expected = [
            ("/items/0/unitPrice", "is not a known field; expected productId, quantity, price"),
            ("/items/0/price", "is required"),
        ];
        assert_eq!(errors(body), expected.map(|(at, detail)| (at.to_owned(), detail.to_owned())));
    }

    #[test]
    fn duplicate_fields_and_objects_as_numbers_are_refused() {
        let body = r#"{"customerId":"c","customerId":"d","items":[
            {"productId":"p","quantity":1,"price":{"$serde_json::private::Number":"1"}}]}"#;
        assert_eq!(pointers(body), ["/customerId", "/items/0/price"]);
    }

    #[test]
    fn items_must_be_a_list_and_the_total_must_be_in_range() {
        assert_eq!(pointers(r#"{"customerId":"c","items":[]}"#), ["/items"]);
        assert_eq!(pointers(r#"{"customerId":"c","items":{}}"#), ["/items"]);
        let body =
            r#"{"customerId":"c","items":[{"productId":"p","quantity":2,"price":9999999999.99}]}"#;
        assert_eq!(
            errors(body),
            [("/items".to_owned(), "the total must be at most 9999999999.99".to_owned())]
        );
        assert_eq!(pointers("[]"), [""]);
    }

    #[test]
    fn invalid_json_is_malformed() {
        for body in ["", "{", "[1,]", r#"{"customerId":"c","items":[]} x"#, "\u{feff}{}"] {
            let error = draft(body.as_bytes()).unwrap_err();
            assert!(matches!(error, ApiError::MalformedJson(_)), "{body:?}: {error:?}");
        }
    }
}
