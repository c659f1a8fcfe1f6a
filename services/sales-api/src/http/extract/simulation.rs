//! Parses a request to simulate a step of a delivery.

use std::io::Read;

use domain::DeliveryStep;
use json_comments::CommentSettings;

use super::json::read_json;
use crate::http::problem::ApiError;

/// Reads `{"status":"shipped"}` or `{"status":"delivered"}`.
///
/// The contract prints this body with a comment, `"status": "shipped"  // or "delivered"`, and a
/// client may send it as printed. So only this body may contain comments (`//` and `/* */`).
pub(crate) fn simulated_step(body: &[u8]) -> Result<DeliveryStep, ApiError> {
    let mut json = Vec::with_capacity(body.len());
    CommentSettings::c_style()
        .strip_comments(body)
        .read_to_end(&mut json)
        .map_err(|_| ApiError::MalformedJson("unterminated comment".to_owned()))?;
    read_json(&json, |json| json.object(&["status"])?.get("status")?.text(|it| step(&it)))
}

fn step(text: &str) -> Result<DeliveryStep, &'static str> {
    let step = DeliveryStep::DELIVERY.into_iter().find(|step| step.as_str() == text);
    step.ok_or("must be one of: shipped, delivered")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_may_contain_comments() {
        for (body, step) in [
            ("{\n  \"status\": \"shipped\"  // or \"delivered\"\n}", DeliveryStep::Shipped),
            ("{\"status\": /* the last one */ \"delivered\"} // end", DeliveryStep::Delivered),
            ("{\"status\":\"shipped\"}", DeliveryStep::Shipped),
        ] {
            assert_eq!(simulated_step(body.as_bytes()).unwrap(), step, "{body}");
        }
    }

    #[test]
    fn a_comment_in_a_string_is_text_and_one_without_an_end_is_an_error() {
        for text in ["shipped//", "cancelled"] {
            let body = format!(r#"{{"status":"{text}"}}"#);
            let error = simulated_step(body.as_bytes()).unwrap_err();
            assert!(matches!(error, ApiError::Invalid(_)), "{error:?}");
        }
        for body in [r#"{"status":"shipped"} /* "#, r#"{"status":"shipped"} /"#, "# {}"] {
            let error = simulated_step(body.as_bytes()).unwrap_err();
            assert!(matches!(error, ApiError::MalformedJson(_)), "{body}: {error:?}");
        }
    }
}
