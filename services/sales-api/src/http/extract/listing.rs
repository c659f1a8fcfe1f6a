//! Parses the query string of a list.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Display;

use auth::Caller;
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use contracts::http::ListOrders;
use contracts::parse_timestamp;
use domain::{CustomerId, ExternalReference, OrderId, OrderStatus};
use service_kit::config::number_in;
use store::orders::{Listing, Sort};
use url::form_urlencoded;

use crate::http::problem::{ApiError, fault};
use crate::orders::list::ListingRequest;

const LARGEST_LIMIT: u16 = 100;

/// Parses a query string. Each parameter may appear once, except `status`. An unknown one is an
/// error, so that a misspelled filter does not list everything.
pub(crate) fn listing(caller: &Caller, query: &str) -> Result<ListingRequest, ApiError> {
    let mut request = ListingRequest {
        listing: Listing::newest_first(caller.owner_filter().cloned(), ListOrders::DEFAULT_LIMIT),
        cursor: None,
    };
    let mut errors = Vec::new();
    let mut seen = HashSet::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let read = if name == "status" || seen.insert(name.clone()) {
            set(&mut request, &name, value)
        } else {
            Err("appears more than once".to_owned())
        };
        if let Err(detail) = read {
            errors.push(fault(&format!("query:{name}"), &detail));
        }
    }
    if errors.is_empty() { Ok(request) } else { Err(ApiError::Invalid(errors)) }
}

fn set(request: &mut ListingRequest, name: &str, value: Cow<'_, str>) -> Result<(), String> {
    let listing = &mut request.listing;
    match name {
        "customerId" => {
            listing.customer_id = Some(with_message(CustomerId::try_from(value.into_owned()))?);
        }
        "externalReference" => {
            let reference = ExternalReference::try_from(value.into_owned());
            listing.external_reference = Some(with_message(reference)?);
        }
        "status" => add_status(&mut listing.statuses, with_message(value.parse())?),
        "createdAfter" => listing.since = least_id_at(&value)?,
        "createdBefore" => listing.before = least_id_at(&value)?,
        "sort" => {
            listing.sort = match value.as_ref() {
                "-createdAt" => Sort::NewestFirst,
                "createdAt" => Sort::OldestFirst,
                _ => return Err("must be one of: -createdAt, createdAt".to_owned()),
            }
        }
        "limit" => {
            listing.limit = number_in(&value, 1..=LARGEST_LIMIT)?;
        }
        "cursor" => request.cursor = Some(value.into_owned()),
        _ => {
            return Err("is not a known parameter; known are customerId, externalReference, status, createdAfter, \
                        createdBefore, sort, limit, cursor"
                .to_owned());
        }
    }
    Ok(())
}

/// Keeps the statuses in a fixed order, because cursors are bound to them.
fn add_status(statuses: &mut Vec<OrderStatus>, status: OrderStatus) {
    let wanted = |known: &OrderStatus| *known == status || statuses.contains(known);
    *statuses = OrderStatus::ALL.into_iter().filter(wanted).collect();
}

/// The smallest id at a time. Ids have millisecond precision, so the time is rounded up.
fn least_id_at(text: &str) -> Result<OrderId, String> {
    const EXPECTED: &str = "must be a timestamp of RFC 3339, such as 2026-03-01T12:00:00Z";
    let at: DateTime<Utc> = parse_timestamp(text).ok_or_else(|| {
        let lost_plus = parse_timestamp(&text.replace(' ', "+")).is_some();
        format!("{EXPECTED}{}", if lost_plus { "; in a URL, encode + as %2B" } else { "" })
    })?;
    let whole = at.trunc_subsecs(3);
    let ceiling = if whole < at { whole + TimeDelta::milliseconds(1) } else { whole };
    Ok(OrderId::least_at(ceiling.timestamp_millis()))
}

fn with_message<T, E: Display>(value: Result<T, E>) -> Result<T, String> {
    value.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alice() -> Caller {
        Caller::without_role("alice".to_owned().try_into().unwrap())
    }

    fn errors(query: &str) -> Vec<String> {
        match listing(&alice(), query) {
            Err(ApiError::Invalid(errors)) => {
                errors.iter().map(|error| format!("{} {}", error.pointer, error.detail)).collect()
            }
            Err(other) => panic!("{other:?}"),
            Ok(_) => Vec::new(),
        }
    }

    #[test]
    fn a_query_is_parsed_into_a_listing_of_the_callers_own_orders() {
        let query = "customerId=c%2B1&status=Shipped&status=Pending+Shipment&status=Shipped&sort=createdAt\
             &externalReference=1001&limit=7&cursor=x&createdAfter=1970-01-01T00:00:00.0001Z";
        let ListingRequest { listing, cursor } = listing(&alice(), query).unwrap();
        assert_eq!(listing.owner.unwrap().as_str(), "alice");
        assert_eq!(listing.customer_id.unwrap().as_str(), "c+1");
        assert_eq!(listing.external_reference.unwrap().as_str(), "1001");
        assert_eq!(listing.statuses, [OrderStatus::PendingShipment, OrderStatus::Shipped]);
        assert_eq!(listing.sort, Sort::OldestFirst);
        assert_eq!((listing.limit, cursor.as_deref()), (7, Some("x")));
        assert_eq!((listing.since, listing.before), (OrderId::least_at(1), OrderId::MAX));
    }

    #[test]
    fn all_errors_of_a_query_are_reported_together() {
        assert_eq!(
            errors(
                "limit=0&status=lost&createdAfter=yesterday&customerid=c&cursor=a&cursor=b&customerId=\
                 &sort=price&externalReference=%20"
            ),
            [
                "query:limit must be a whole number from 1 to 100",
                "query:status must be one of: Pending Shipment, Shipped, Delivered, Cancelled",
                "query:createdAfter must be a timestamp of RFC 3339, such as 2026-03-01T12:00:00Z",
                "query:customerid is not a known parameter; known are customerId, externalReference, status, createdAfter, createdBefore, sort, limit, cursor",
                "query:cursor appears more than once",
                "query:customerId must be 1 to 64 characters long",
                "query:sort must be one of: -createdAt, createdAt",
                "query:externalReference must not begin or end with white space",
            ]
        );
        assert_eq!(errors("limit=101&limit=1").len(), 2);
        assert_eq!(
            errors("createdAfter=2026-03-01T12:00:00+01:00"),
            ["query:createdAfter must be a timestamp of RFC 3339, such as 2026-03-01T12:00:00Z; \
                 in a URL, encode + as %2B"]
        );
        assert!(errors("").is_empty());
    }
}
