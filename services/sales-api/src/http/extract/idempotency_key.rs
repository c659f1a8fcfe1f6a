//! The `Idempotency-Key` header.

use actix_web::HttpRequest;
use contracts::http::IDEMPOTENCY_KEY;
use domain::IdempotencyKey;

use crate::http::problem::ApiError;

/// The key of the only `Idempotency-Key` header, bare or as a quoted string (RFC 9651, section
/// 3.3.3).
pub(super) fn idempotency_key(request: &HttpRequest) -> Result<IdempotencyKey, ApiError> {
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

    #[test]
    fn a_key_is_bare_or_a_whole_quoted_string() {
        assert_eq!(unquote("abc").as_deref(), Some("abc"));
        assert_eq!(unquote(r#""a \"b\" \\""#).as_deref(), Some(r#"a "b" \"#));
        for refused in [r#"""#, r#""a"#, r#""a"b"#, r#""a\n""#] {
            assert_eq!(unquote(refused), None, "{refused}");
        }
    }
}
