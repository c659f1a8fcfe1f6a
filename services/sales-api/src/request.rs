//! Reading what a client sent: its body, its idempotency key. Every fault is named with its place.

use std::fmt::Display;

use actix_web::HttpRequest;
use actix_web::http::header::CONTENT_TYPE;
use contracts::http::IDEMPOTENCY_KEY;
use contracts::problem::Fault;
use domain::{CustomerId, IdempotencyKey, Money, OrderDraft, OrderLine, ProductId, Quantity};
use serde_json::{Map, Value};

use crate::problem::ApiError;

/// The most faults that one answer names.
const MOST_FAULTS: usize = 100;

/// The order that a body asks for.
pub(crate) fn order_draft(request: &HttpRequest, body: &[u8]) -> Result<OrderDraft, ApiError> {
    let media_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = media_type.and_then(|value| value.split(';').next()).unwrap_or_default();
    if !essence.trim().eq_ignore_ascii_case("application/json") {
        return Err(ApiError::MediaType);
    }
    draft(body)
}

fn draft(body: &[u8]) -> Result<OrderDraft, ApiError> {
    let json: Value =
        serde_json::from_slice(body).map_err(|error| ApiError::MalformedJson(error.to_string()))?;
    if json["items"].as_array().is_some_and(|items| items.len() > OrderDraft::MAX_LINES) {
        return Err(ApiError::TooManyItems);
    }
    let mut body = BodyReader::default();
    body.order(&json).ok_or(ApiError::Invalid(body.faults))
}

/// Reads a body to its end, so that a client hears of all faults at once.
#[derive(Default)]
struct BodyReader {
    faults: Vec<Fault>,
}

impl BodyReader {
    fn order(&mut self, json: &Value) -> Option<OrderDraft> {
        let order = self.object("", json, &["customerId", "items"])?;
        let customer = self.text("", order, "customerId", CustomerId::try_from);
        let lines = self.lines(order);
        let draft = OrderDraft::new(customer?, lines?);
        // A fault anywhere, even in a field that nobody knows, is a fault of the whole.
        self.check("/items", draft).filter(|_| self.faults.is_empty())
    }

    fn lines(&mut self, order: &Map<String, Value>) -> Option<Vec<OrderLine>> {
        let items = self.field("", order, "items")?.as_array();
        let items = self.check("/items", items.ok_or("must be an array"))?;
        let lines: Vec<_> = items
            .iter()
            .enumerate()
            .map(|(index, item)| self.line(&format!("/items/{index}"), item))
            .collect();
        lines.into_iter().collect()
    }

    fn line(&mut self, at: &str, json: &Value) -> Option<OrderLine> {
        let item = self.object(at, json, &["productId", "quantity", "unitPrice"])?;
        let product_id = self.text(at, item, "productId", ProductId::try_from);
        let quantity = self.field(at, item, "quantity").and_then(|value| {
            let pieces = value.as_i64().ok_or("must be a whole number");
            self.check(&format!("{at}/quantity"), pieces).and_then(|pieces| {
                self.check(&format!("{at}/quantity"), Quantity::try_from(pieces))
            })
        });
        let unit_price = self.field(at, item, "unitPrice").and_then(|value| {
            let number = value.as_number().ok_or("must be a number");
            // The digits as they were sent: the price never passes through a binary float.
            self.check(&format!("{at}/unitPrice"), number).and_then(|number| {
                self.check(&format!("{at}/unitPrice"), number.as_str().parse::<Money>())
            })
        });
        Some(OrderLine { product_id: product_id?, quantity: quantity?, unit_price: unit_price? })
    }

    fn object<'j>(
        &mut self,
        at: &str,
        json: &'j Value,
        known: &[&str],
    ) -> Option<&'j Map<String, Value>> {
        let object = self.check(at, json.as_object().ok_or("must be an object"))?;
        for name in object.keys().filter(|name| !known.contains(&name.as_str())) {
            // RFC 6901 escapes these two.
            let pointer = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
            self.add(&pointer, &"is not a known field");
        }
        Some(object)
    }

    fn field<'j>(
        &mut self,
        at: &str,
        object: &'j Map<String, Value>,
        name: &str,
    ) -> Option<&'j Value> {
        self.check(&format!("{at}/{name}"), object.get(name).ok_or("is required"))
    }

    fn text<T, E: Display>(
        &mut self,
        at: &str,
        object: &Map<String, Value>,
        name: &str,
        parse: impl FnOnce(String) -> Result<T, E>,
    ) -> Option<T> {
        let value = self.field(at, object, name)?.as_str();
        let pointer = format!("{at}/{name}");
        let text = self.check(&pointer, value.ok_or("must be a string"))?;
        self.check(&pointer, parse(text.to_owned()))
    }

    fn check<T, E: Display>(&mut self, pointer: &str, value: Result<T, E>) -> Option<T> {
        value.map_err(|error| self.add(pointer, &error)).ok()
    }

    /// A body that is wrong throughout is not answered with something larger than itself.
    fn add(&mut self, pointer: &str, error: &impl Display) {
        if self.faults.len() == MOST_FAULTS {
            return;
        }
        self.faults.push(Fault { pointer: pointer.to_owned(), detail: error.to_string() });
    }
}

/// The one `Idempotency-Key` header, bare or as a quoted string (RFC 9651, section 3.3.3).
pub(crate) fn idempotency_key(request: &HttpRequest) -> Result<IdempotencyKey, ApiError> {
    const WRONG: &str =
        "Idempotency-Key must be 1 to 255 printable ASCII characters, bare or quoted";
    let mut headers = request.headers().get_all(IDEMPOTENCY_KEY);
    let header = headers.next().ok_or(ApiError::IdempotencyKey("Idempotency-Key is required"))?;
    if headers.next().is_some() {
        return Err(ApiError::IdempotencyKey("Idempotency-Key must be given once"));
    }
    let text = header.to_str().map_err(|_| ApiError::IdempotencyKey(WRONG))?;
    unquote(text.trim())
        .and_then(|key| IdempotencyKey::try_from(key).ok())
        .ok_or(ApiError::IdempotencyKey(WRONG))
}

/// A text that does not begin with a quote stands for itself; one that does must be a whole quoted string.
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

    fn faults(body: &str) -> Vec<(String, String)> {
        match draft(body.as_bytes()) {
            Err(ApiError::Invalid(faults)) => {
                faults.into_iter().map(|fault| (fault.pointer, fault.detail)).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    fn pointers(body: &str) -> Vec<String> {
        faults(body).into_iter().map(|(pointer, _)| pointer).collect()
    }

    #[test]
    fn a_body_becomes_an_order() {
        let body =
            r#"{"customerId":"c","items":[{"productId":"p","quantity":2,"unitPrice":29.99}]}"#;
        assert_eq!(draft(body.as_bytes()).unwrap().total().to_string(), "59.98");
    }

    #[test]
    fn all_faults_are_named_at_once_with_their_place() {
        let body = r#"{"customerId":"","total":5,"items":[
            {"productId":"ok","quantity":1,"unitPrice":1},
            {"productId":" x","quantity":0,"unitPrice":0.001},
            {"productId":7,"quantity":1.5,"unitPrice":"29.99"},
            {"a/b":null},
            ["p",1,1]]}"#;
        assert_eq!(
            faults(body).iter().map(|(at, detail)| format!("{at} {detail}")).collect::<Vec<_>>(),
            [
                "/total is not a known field",
                "/customerId must be 1 to 64 characters long",
                "/items/1/productId must not begin or end with white space",
                "/items/1/quantity must be from 1 to 1000000",
                "/items/1/unitPrice must have at most two decimals",
                "/items/2/productId must be a string",
                "/items/2/quantity must be a whole number",
                "/items/2/unitPrice must be a number",
                "/items/3/a~1b is not a known field",
                "/items/3/productId is required",
                "/items/3/quantity is required",
                "/items/3/unitPrice is required",
                "/items/4 must be an object",
            ]
        );
    }

    #[test]
    fn an_unknown_field_alone_is_enough_to_refuse() {
        let body = r#"{"customerId":"c","items":[{"productId":"p","quantity":2,"unitPrice":1,"discount":1}]}"#;
        assert_eq!(pointers(body), ["/items/0/discount"]);
    }

    #[test]
    fn an_order_needs_items_that_are_a_list_and_a_total_that_fits() {
        assert_eq!(pointers(r#"{"customerId":"c","items":[]}"#), ["/items"]);
        assert_eq!(pointers(r#"{"customerId":"c","items":{}}"#), ["/items"]);
        let body = r#"{"customerId":"c","items":[{"productId":"p","quantity":2,"unitPrice":9999999999.99}]}"#;
        assert_eq!(
            faults(body),
            [("/items".to_owned(), "the total must be at most 9999999999.99".to_owned())]
        );
        assert_eq!(pointers("[]"), [""]);
    }

    #[test]
    fn what_is_no_json_is_malformed() {
        for body in ["", "{", "[1,]", r#"{"customerId":"c","items":[]} x"#, "\u{feff}{}"] {
            let error = draft(body.as_bytes()).unwrap_err();
            assert!(matches!(error, ApiError::MalformedJson(_)), "{body:?}: {error:?}");
        }
    }

    #[test]
    fn a_key_is_bare_or_a_whole_quoted_string() {
        assert_eq!(unquote("abc").as_deref(), Some("abc"));
        assert_eq!(unquote(r#""a \"b\" \\""#).as_deref(), Some(r#"a "b" \"#));
        for refused in [r#"""#, r#""a"#, r#""a"b"#, r#""a\n""#] {
            assert_eq!(unquote(refused), None, "{refused}");
        }
    }
}
