//! How many requests are worked on at once. One more is refused at once: a fast 503 that says when to come again is
//! better than a slow 201 that makes everybody's slower.
//!
//! A place is taken when there is something to do: a client that is still sending its body occupies none.

use std::future::{Ready, ready};
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::ApiError;

/// The places of requests under way, shared by all threads.
#[derive(Clone, Debug)]
pub(crate) struct Admission(Arc<Semaphore>);

/// A request's place; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
}

impl Admission {
    pub(crate) fn new(places: usize) -> Self {
        Self(Arc::new(Semaphore::new(places)))
    }

    /// Takes a place, if there is one.
    pub(crate) fn admit(&self) -> Result<Place, ApiError> {
        match Arc::clone(&self.0).try_acquire_owned() {
            Ok(permit) => Ok(Place { _permit: permit }),
            Err(_) => Err(refuse()),
        }
    }

    /// Refuses while there is no place, so that nobody sends a body for nothing.
    pub(crate) fn check(&self) -> Result<(), ApiError> {
        if self.0.available_permits() > 0 { Ok(()) } else { Err(refuse()) }
    }

    /// The admission of the application that `request` is for.
    pub(crate) fn of(request: &HttpRequest) -> Result<&Self, ApiError> {
        let admission = request.app_data::<web::Data<Self>>();
        admission.map(|it| &***it).ok_or_else(|| ApiError::Internal("no admission".into()))
    }
}

fn refuse() -> ApiError {
    metrics::counter!("http_server_requests_refused_total").increment(1);
    ApiError::Overloaded
}

/// The place of a request without a body.
impl FromRequest for Place {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Admission::of(request).and_then(Admission::admit))
    }
}
