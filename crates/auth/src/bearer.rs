//! The token of a request: a bearer token in the `Authorization` header (RFC 6750).

use crate::TokenError;

/// Maximum length of an `Authorization` header: many times a usual token, and cheap to verify.
const MAX_HEADER_BYTES: usize = 8192;

/// The token in the `Authorization` headers of a request.
pub fn bearer_token<'a>(
    mut headers: impl Iterator<Item = &'a [u8]>,
) -> Result<&'a str, TokenError> {
    let header = headers.next().ok_or(TokenError::Missing)?;
    // A proxy in front of the service may have verified the other one.
    if headers.next().is_some() {
        return Err(TokenError::Ambiguous);
    }
    if header.len() > MAX_HEADER_BYTES {
        return Err(TokenError::TooLong);
    }
    match str::from_utf8(header).ok().and_then(|value| value.split_once(' ')) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim()),
        _ => Err(TokenError::Missing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_the_only_bearer_token_of_a_request() {
        let token =
            |headers: &[&'static str]| bearer_token(headers.iter().map(|header| header.as_bytes()));
        assert_eq!(token(&["Bearer a.b.c"]), Ok("a.b.c"));
        assert_eq!(token(&["bearer  a.b.c "]), Ok("a.b.c"));
        for missing in [&[][..], &["Basic YTpi"], &["a.b.c"]] {
            assert_eq!(token(missing), Err(TokenError::Missing), "{missing:?}");
        }
        assert_eq!(token(&["Bearer a", "Bearer b"]), Err(TokenError::Ambiguous));
        let long: &str = "Bearer x".repeat(2_000).leak();
        assert_eq!(token(&[long]), Err(TokenError::TooLong));
    }
}
