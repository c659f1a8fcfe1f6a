//! Parses a request to create an order.

use actix_web::HttpRequest;
use contracts::http::IDEMPOTENCY_KEY;
use domain::{CustomerId, ExternalReference, IdempotencyKey, OrderDraft, OrderLine, ProductId};

use super::json::{Json, read_json};
use super::metadata::metadata;
use crate::http::problem::{ApiError, CURRENCY_POINTER, IDEMPOTENCY_KEY_POINTER, fault};
use crate::orders::currencies::Currencies;

/// The fields of an order.
const FIELDS: [&str; 5] = ["customerId", "items", "externalReference", "currency", "metadata"];

/// The idempotency key and the order of a request. All errors are reported together, but a currency
/// that is not accepted only beside others: alone, it is an error unless the request is a replay.
pub(crate) fn order_request(
    request: &HttpRequest,
    body: &[u8],
    currencies: &Currencies,
) -> Result<(IdempotencyKey, OrderDraft), ApiError> {
    let key = idempotency_key(request);
    match (key, draft(body, currencies)) {
        (Ok(key), Ok(draft)) => Ok((key, draft)),
        (Err(ApiError::IdempotencyKey(detail)), Err(ApiError::Invalid(mut errors))) => {
            errors.push(fault(IDEMPOTENCY_KEY_POINTER, &detail));
            Err(ApiError::Invalid(errors))
        }
        (_, Err(error)) | (Err(error), _) => Err(error),
    }
}

fn draft(body: &[u8], currencies: &Currencies) -> Result<OrderDraft, ApiError> {
    let (mut too_many_items, mut named) = (false, None);
    let draft = read_json(body, |json| {
        let order = json.object(&FIELDS)?;
        let customer = order.get("customerId").and_then(|it| it.text(CustomerId::try_from));
        // An invalid one is an error of the body, like any other.
        let reference = order.find("externalReference");
        let reference = reference.and_then(|it| it.text(ExternalReference::try_from));
        let currency = order.find("currency").and_then(|it| it.text(|code| code.parse()));
        named = currency;
        let metadata = order.find("metadata").and_then(|it| metadata(&it)).unwrap_or_default();
        let items = order.get("items")?;
        let lines = items.array()?;
        too_many_items = lines.len() > OrderDraft::MAX_LINES;
        if too_many_items {
            return None;
        }
        // Reads all lines before it stops at an error.
        let lines: Vec<_> = lines.into_iter().map(line).collect();
        let lines: Option<Vec<_>> = lines.into_iter().collect();
        let draft = items.check(OrderDraft::new(customer?, lines?))?;
        Some(draft.with_options(reference, currency, metadata))
    });
    match draft {
        _ if too_many_items => Err(ApiError::TooManyItems),
        Err(ApiError::Invalid(mut errors)) => {
            let unknown = currencies.check(named).err();
            errors.extend(unknown.map(|error| fault(CURRENCY_POINTER, &error)));
            Err(ApiError::Invalid(errors))
        }
        draft => draft,
    }
}

fn line(item: Json<'_>) -> Option<OrderLine> {
    let item = item.object(&["productId", "quantity", "price"])?;
    let product_id = item.get("productId").and_then(|it| it.text(ProductId::try_from));
    let quantity = item.get("quantity").and_then(|it| it.number());
    let price = item.get("price").and_then(|it| it.number());
    Some(OrderLine { product_id: product_id?, quantity: quantity?, price: price? })
}

/// The key of the only `Idempotency-Key` header, bare or as a quoted string (RFC 9651, section
/// 3.3.3).
fn idempotency_key(request: &HttpRequest) -> Result<IdempotencyKey, ApiError> {
    const EXPECTED: &str =
        "Idempotency-Key must be 1 to 255 printable ASCII characters, bare or quoted";
    let mut headers = request.headers().get_all(IDEMPOTENCY_KEY);
    let header = headers.next().ok_or(ApiError::IdempotencyKey("Idempotency-Key is required"))?;
    if headers.next().is_some() {
        return Err(ApiError::IdempotencyKey("Idempotency-Key must be given once"));
    }
    let text = header.to_str().map_err(|_| ApiError::IdempotencyKey(EXPECTED))?;
    unquote(text.trim())
        .and_then(|key| IdempotencyKey::try_from(key).ok())
        .ok_or(ApiError::IdempotencyKey(EXPECTED))
}

/// Returns a bare text unchanged. A text that begins with a quote must be a complete quoted string.
fn unquote(text: &str) -> Option<String> {
    let Some(quoted) = text.strip_prefix('"') else {
        return Some(text.to_owned());
    };
    let mut key = String::new();
    let mut characters = quoted.chars();
    loop {
        match characters.next()? {
            '"' => return characters.next().is_none().then_some(key),
            '\\' => key.push(characters.next().filter(|c| matches!(c, '"' | '\\'))?),
            other => key.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(body: &str) -> Result<OrderDraft, ApiError> {
        super::draft(body.as_bytes(), &Currencies::parse("EUR,USD").unwrap())
    }

    fn errors(body: &str) -> Vec<String> {
        match draft(body) {
            Err(ApiError::Invalid(errors)) => {
                errors.iter().map(|error| format!("{} {}", error.pointer, error.detail)).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_valid_body_is_parsed_into_an_order() {
        let body = r#"{"customerId":"c","items":[{"productId":"p","quantity":2,"price":29.99}]}"#;
        assert_eq!(draft(body).unwrap().total().to_string(), "59.98");
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
            errors(body),
            [
                "/total is not a known field; expected customerId, items, externalReference, currency, metadata",
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
    fn an_invalid_body_is_refused_with_each_error() {
        let order = |item: &str| format!(r#"{{"customerId":"c","items":[{item}]}}"#);
        for (body, refused) in [
            (
                order(r#"{"productId":"p","quantity":2,"price":1,"discount":1}"#),
                &["/items/0/discount is not a known field; expected productId, quantity, price"][..],
            ),
            // The error of the old name of a price names the new one.
            (
                order(r#"{"productId":"p","quantity":2,"unitPrice":29.99}"#),
                &[
                    "/items/0/unitPrice is not a known field; expected productId, quantity, price",
                    "/items/0/price is required",
                ],
            ),
            (
                order(r#"{"productId":"p","quantity":2,"price":9999999999.99}"#),
                &["/items the total must be at most 9999999999.99"],
            ),
            (
                order(
                    r#"{"productId":"p","quantity":1,"price":{"$serde_json::private::Number":"1"}}"#,
                ),
                &["/items/0/price must be a number"],
            ),
            (order(""), &["/items must have at least one item"]),
            (r#"{"customerId":"c","items":{}}"#.to_owned(), &["/items must be an array"]),
            (
                r#"{"customerId":"c","customerId":"d","items":[]}"#.to_owned(),
                &["/customerId appears more than once", "/items must have at least one item"],
            ),
            ("[]".to_owned(), &[" must be an object"]),
        ] {
            assert_eq!(errors(&body), refused);
        }
    }

    fn order_with(fields: &str) -> String {
        format!(
            r#"{{"customerId":"c","items":[{{"productId":"p","quantity":2,"price":1}}],{fields}}}"#
        )
    }

    #[test]
    fn the_optional_fields_are_parsed() {
        let body = r#""externalReference":"1001","currency":"USD","metadata":{"gift":"yes"}"#;
        let draft = draft(&order_with(body)).unwrap();
        assert_eq!(draft.external_reference().unwrap().as_str(), "1001");
        assert_eq!(draft.currency().unwrap().as_str(), "USD");
        assert_eq!(draft.metadata().pairs().collect::<Vec<_>>(), [("gift", "yes")]);
    }

    #[test]
    fn each_invalid_optional_field_is_an_error() {
        for (fields, refused) in [
            (
                r#""externalReference":"","currency":"eur","metadata":[]"#,
                [
                    "/externalReference must be 1 to 64 characters long",
                    "/currency must be three capital letters, as in ISO 4217",
                    "/metadata must be an object",
                ],
            ),
            (
                r#""externalReference":null,"currency":7,"metadata":{"gift":null}"#,
                [
                    "/externalReference must be a string",
                    "/currency must be a string",
                    "/metadata/gift must be a string",
                ],
            ),
            (
                r#""externalReference":" ","currency":"CHF","metadata":null"#,
                [
                    "/externalReference must not begin or end with white space",
                    "/metadata must be an object",
                    "/currency must be one of: EUR, USD",
                ],
            ),
        ] {
            assert_eq!(errors(&order_with(fields)), refused, "{fields}");
        }
        // Alone, it is no error yet: the request may be a replay.
        assert!(draft(&order_with(r#""currency":"CHF""#)).is_ok());
    }

    #[test]
    fn invalid_json_is_malformed() {
        for body in ["", "{", "[1,]", r#"{"customerId":"c","items":[]} x"#, "\u{feff}{}"] {
            let error = draft(body).unwrap_err();
            assert!(matches!(error, ApiError::MalformedJson(_)), "{body:?}: {error:?}");
        }
    }

    #[test]
    fn an_idempotency_key_is_bare_or_a_complete_quoted_string() {
        assert_eq!(unquote("abc").as_deref(), Some("abc"));
        assert_eq!(unquote(r#""a \"b\" \\""#).as_deref(), Some(r#"a "b" \"#));
        for refused in [r#"""#, r#""a"#, r#""a"b"#, r#""a\n""#] {
            assert_eq!(unquote(refused), None, "{refused}");
        }
    }
}
