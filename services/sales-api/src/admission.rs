//! How many requests are answered at once. One more is refused at once: a fast 503 that says when to come again is
//! better than a slow 201 that makes everybody's slower.

use std::sync::Arc;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::{Error, web};
use tokio::sync::Semaphore;

use crate::problem::ApiError;

/// The places of requests under way, shared by all threads.
#[derive(Clone, Debug)]
pub(crate) struct Admission(Arc<Semaphore>);

impl Admission {
    pub(crate) fn new(places: usize) -> Self {
        Self(Arc::new(Semaphore::new(places)))
    }
}

/// The layer around the API's own routes; a health check is answered however much there is to do.
pub(crate) async fn admit(
    admission: web::Data<Admission>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Ok(_place) = admission.0.try_acquire() else {
        metrics::counter!("http_server_requests_refused_total").increment(1);
        return Ok(request.error_response(ApiError::Overloaded));
    };
    Ok(next.call(request).await?.map_into_boxed_body())
}
