//! Parses a request to cancel an order.

use domain::CancellationReason;

use super::json::read_json;
use crate::http::problem::ApiError;

/// Reads `{"reason":"..."}`, `{}` or nothing.
pub(crate) fn cancellation_reason(body: &[u8]) -> Result<Option<CancellationReason>, ApiError> {
    if body.is_empty() {
        return Ok(None);
    }
    read_json(body, |json| match json.object(&["reason"])?.find("reason") {
        Some(reason) => Some(Some(reason.text(CancellationReason::try_from)?)),
        None => Some(None),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(body: &str) -> Vec<String> {
        match cancellation_reason(body.as_bytes()) {
            Err(ApiError::Invalid(errors)) => {
                errors.iter().map(|it| format!("{} {}", it.pointer, it.detail)).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_reason_is_optional() {
        for body in ["", "{}", " { } "] {
            assert_eq!(cancellation_reason(body.as_bytes()).unwrap(), None, "{body}");
        }
        let reason =
            cancellation_reason(r#"{"reason":"zweimal bestellt, s\u00fc\u00df"}"#.as_bytes());
        assert_eq!(reason.unwrap().unwrap().as_str(), "zweimal bestellt, s\u{fc}\u{df}");
        let longest = format!(r#"{{"reason":"{}"}}"#, "\u{fc}".repeat(200));
        assert!(cancellation_reason(longest.as_bytes()).unwrap().is_some());
    }

    #[test]
    fn each_invalid_reason_is_an_error() {
        let too_long = format!(r#"{{"reason":"{}"}}"#, "x".repeat(201));
        assert_eq!(errors(&too_long), ["/reason must be 1 to 200 characters long"]);
        for (body, error) in [
            (r#"{"reason":""}"#, "/reason must be 1 to 200 characters long"),
            (r#"{"reason":7}"#, "/reason must be a string"),
            (r#"{"reason":null}"#, "/reason must be a string"),
            (r#"{"reason":"a\nb"}"#, "/reason must not contain control characters"),
            (r#"{"why":"x"}"#, "/why is not a known field; expected reason"),
            ("[]", " must be an object"),
            ("null", " must be an object"),
        ] {
            assert_eq!(errors(body), [error], "{body}");
        }
        let error = cancellation_reason(b"{").unwrap_err();
        assert!(matches!(error, ApiError::MalformedJson(_)), "{error:?}");
    }
}
