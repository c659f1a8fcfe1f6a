//! Parses a request to read the change feed.

use std::collections::HashSet;

use contracts::http::ListOrderEvents;
use service_kit::config::number_in;
use url::form_urlencoded;

use crate::http::problem::{ApiError, fault};
use crate::orders::feed::{After, FeedRequest};

const LARGEST_LIMIT: u16 = 100;

/// Parses a query string. Each parameter may appear once, and an unknown one is an error.
pub(crate) fn feed_request(query: &str) -> Result<FeedRequest, ApiError> {
    let mut request = FeedRequest { after: After::Nothing, limit: ListOrderEvents::DEFAULT_LIMIT };
    let mut errors = Vec::new();
    let mut seen = HashSet::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let read = match name.as_ref() {
            _ if !seen.insert(name.clone()) => Err("appears more than once".to_owned()),
            "after" => {
                request.after = match value.into_owned() {
                    end if end == ListOrderEvents::END => After::End,
                    cursor => After::Cursor(cursor),
                };
                Ok(())
            }
            "limit" => number_in(&value, 1..=LARGEST_LIMIT).map(|limit| request.limit = limit),
            _ => Err("is not a known parameter; known are after, limit".to_owned()),
        };
        if let Err(detail) = read {
            errors.push(fault(&format!("query:{name}"), &detail));
        }
    }
    if errors.is_empty() { Ok(request) } else { Err(ApiError::Invalid(errors)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_errors_of_a_query_are_reported_together() {
        let request = feed_request("after=abc&limit=7").unwrap();
        assert_eq!((request.after, request.limit), (After::Cursor("abc".to_owned()), 7));
        assert_eq!(feed_request("after=end").unwrap().after, After::End);
        assert_eq!(feed_request("").unwrap().after, After::Nothing);
        let Err(ApiError::Invalid(errors)) = feed_request("limit=0&before=x&after=a&after=b")
        else {
            panic!("accepted");
        };
        let pointers: Vec<&str> = errors.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(pointers, ["query:limit", "query:before", "query:after"]);
    }
}
