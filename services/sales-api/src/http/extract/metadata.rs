//! Parses the metadata of an order.

use std::collections::BTreeMap;

use domain::{Metadata, MetadataKey, MetadataValue, TooManyPairs};

use super::json::Json;

/// Reads an object of texts.
pub(super) fn metadata(json: &Json<'_>) -> Option<Metadata> {
    let members = json.members()?;
    if members.len() > Metadata::MAX_PAIRS {
        return json.check(Err(TooManyPairs));
    }
    // Reads all pairs before it stops at an error.
    let pairs: Vec<_> = members.into_iter().map(pair).collect();
    let pairs: Option<BTreeMap<_, _>> = pairs.into_iter().collect();
    json.check(pairs?.try_into())
}

fn pair((name, value): (String, Json<'_>)) -> Option<(MetadataKey, MetadataValue)> {
    let key = MetadataKey::try_from(name).map_err(|error| format!("the key {error}"));
    let (key, value) = (value.check(key), value.text(MetadataValue::try_from));
    Some((key?, value?))
}

#[cfg(test)]
mod tests {
    use super::super::json::read_json;
    use super::*;
    use crate::http::problem::ApiError;

    fn read(body: &str) -> Result<Metadata, ApiError> {
        read_json(body.as_bytes(), |json| metadata(&json))
    }

    fn errors(body: &str) -> Vec<String> {
        match read(body) {
            Err(ApiError::Invalid(errors)) => {
                errors.iter().map(|error| format!("{} {}", error.pointer, error.detail)).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    fn with_pairs(count: usize) -> String {
        let pairs = (0..count).map(|number| format!(r#""k{number}":"""#));
        format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
    }

    #[test]
    fn an_object_of_texts_is_sorted_by_key() {
        let metadata = read(r#"{"lane":" 4 ","gift":""}"#).unwrap();
        assert_eq!(metadata.pairs().collect::<Vec<_>>(), [("gift", ""), ("lane", " 4 ")]);
        assert!(read("{}").unwrap().is_empty());
        assert!(read(&with_pairs(20)).is_ok());
    }

    #[test]
    fn each_invalid_pair_is_an_error() {
        let [key, value] = [40, 500].map(|length| "x".repeat(length));
        for (body, refused) in [
            (with_pairs(21), vec![" must have at most 20 pairs".to_owned()]),
            (
                r#"{"a/b":1,"":"x"," c":null,"d":"\n"}"#.to_owned(),
                vec![
                    "/a~1b must be a string".to_owned(),
                    "/ the key must be 1 to 40 characters long".to_owned(),
                    "/ c the key must not begin or end with white space".to_owned(),
                    "/ c must be a string".to_owned(),
                    "/d must not contain control characters".to_owned(),
                ],
            ),
            (r#"{"a":"1","a":"2"}"#.to_owned(), vec!["/a appears more than once".to_owned()]),
            (
                format!(r#"{{"{key}":"{value}","{key}y":"","a":"{value}y"}}"#),
                vec![
                    format!("/{key}y the key must be 1 to 40 characters long"),
                    "/a must be at most 500 characters long".to_owned(),
                ],
            ),
            ("[]".to_owned(), vec![" must be an object".to_owned()]),
        ] {
            assert_eq!(errors(&body), refused, "{body}");
        }
    }
}
