//! Reading what a client sent: its body, its idempotency key. Every fault is named with its place.

use std::collections::HashSet;
use std::fmt::Display;
use std::str::FromStr;

use actix_web::HttpRequest;
use contracts::http::IDEMPOTENCY_KEY;
use contracts::problem::Fault;
use domain::{CustomerId, IdempotencyKey, Money, OrderDraft, OrderLine, ProductId, Quantity};

use crate::json::{Json, Object};
use crate::problem::{ApiError, KEY_POINTER};

/// The most faults that one answer names.
const MOST_FAULTS: usize = 100;

/// What a request to create an order asks for, and under which key. All that is wrong is told at once.
pub(crate) fn order_request(
    request: &HttpRequest,
    body: &[u8],
) -> Result<(IdempotencyKey, OrderDraft), ApiError> {
    let key = idempotency_key(request);
    match (key, draft(body)) {
        (Ok(key), Ok(draft)) => Ok((key, draft)),
        (Err(ApiError::IdempotencyKey(detail)), Err(ApiError::Invalid(mut faults))) => {
            faults.push(Fault { pointer: KEY_POINTER.to_owned(), detail: detail.to_owned() });
            Err(ApiError::Invalid(faults))
        }
        (_, Err(error)) | (Err(error), _) => Err(error),
    }
}

fn draft(body: &[u8]) -> Result<OrderDraft, ApiError> {
    let json = Json::parse(body).map_err(|error| ApiError::MalformedJson(error.to_string()))?;
    let mut body = BodyReader::default();
    let draft = body.order(json);
    if body.too_many_items {
        return Err(ApiError::TooManyItems);
    }
    draft.ok_or(ApiError::Invalid(body.faults))
}

/// Reads a body to its end, so that a client hears of all faults at once.
#[derive(Default)]
struct BodyReader {
    faults: Vec<Fault>,
    too_many_items: bool,
}

impl BodyReader {
    fn order(&mut self, json: Json<'_>) -> Option<OrderDraft> {
        let order = self.object("", json, &["customerId", "items"])?;
        let customer = self.text("", &order, "customerId", CustomerId::try_from);
        let lines = self.lines(&order);
        let draft = OrderDraft::new(customer?, lines?);
        // A fault anywhere, even in a field that nobody knows, is a fault of the whole.
        self.check("/items", draft).filter(|_| self.faults.is_empty())
    }

    fn lines(&mut self, order: &Object<'_>) -> Option<Vec<OrderLine>> {
        let items = self.field("", order, "items")?.array();
        let items = self.check("/items", items.ok_or("must be an array"))?;
        if items.len() > OrderDraft::MAX_LINES {
            self.too_many_items = true;
            return None;
        }
        let lines: Vec<_> = items
            .into_iter()
            .enumerate()
            .map(|(index, item)| self.line(&format!("/items/{index}"), item))
            .collect();
        lines.into_iter().collect()
    }

    fn line(&mut self, at: &str, json: Json<'_>) -> Option<OrderLine> {
        let item = self.object(at, json, &["productId", "quantity", "unitPrice"])?;
        let product_id = self.text(at, &item, "productId", ProductId::try_from);
        let quantity = self.number::<Quantity>(at, &item, "quantity");
        let unit_price = self.number::<Money>(at, &item, "unitPrice");
        Some(OrderLine { product_id: product_id?, quantity: quantity?, unit_price: unit_price? })
    }

    fn object<'j>(&mut self, at: &str, json: Json<'j>, known: &[&str]) -> Option<Object<'j>> {
        let object = self.check(at, json.object().ok_or("must be an object"))?;
        let mut seen = HashSet::new();
        for name in object.names() {
            // RFC 6901 escapes these two.
            let pointer = || format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
            if !known.contains(&name) {
                self.add(&pointer(), &"is not a known field");
            } else if !seen.insert(name) {
                self.add(&pointer(), &"stands more than once");
            }
        }
        Some(object)
    }

    fn field<'j>(&mut self, at: &str, object: &Object<'j>, name: &str) -> Option<Json<'j>> {
        self.check(&format!("{at}/{name}"), object.get(name).ok_or("is required"))
    }

    fn number<T: FromStr<Err: Display>>(
        &mut self,
        at: &str,
        object: &Object<'_>,
        name: &str,
    ) -> Option<T> {
        let value = self.field(at, object, name)?.number();
        let pointer = format!("{at}/{name}");
        let digits = self.check(&pointer, value.ok_or("must be a number"))?;
        self.check(&pointer, digits.parse())
    }

    fn text<T, E: Display>(
        &mut self,
        at: &str,
        object: &Object<'_>,
        name: &str,
        parse: impl FnOnce(String) -> Result<T, E>,
    ) -> Option<T> {
        let value = self.field(at, object, name)?.string();
        let pointer = format!("{at}/{name}");
        let text = self.check(&pointer, value.ok_or("must be a string"))?;
        self.check(&pointer, parse(text))
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
fn idempotency_key(request: &HttpRequest) -> Result<IdempotencyKey, ApiError> {
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
                "/items/1/quantity must be a whole number from 1 to 1000000",
                "/items/1/unitPrice must have at most two decimals",
                "/items/2/productId must be a string",
                "/items/2/quantity must be a whole number from 1 to 1000000",
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
    fn a_field_that_stands_twice_is_refused_and_a_number_is_a_number() {
        let body = r#"{"customerId":"c","customerId":"d","items":[
            {"productId":"p","quantity":1,"unitPrice":{"$serde_json::private::Number":"1"}}]}"#;
        assert_eq!(pointers(body), ["/customerId", "/items/0/unitPrice"]);
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
