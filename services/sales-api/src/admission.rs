//! How many requests are worked on at once. One more is refused at once: a fast 503 that says when to come again is
//! better than a slow 201 that makes everybody's slower.
//!
//! A place is taken when there is something to do: a client that is still sending its body occupies none.

use std::future::{Ready, ready};
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use service_kit::metrics::on_scrape;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::ApiError;

/// What bodies may take up while they are read and worked on, all together, in KiB. Without it, clients that send slowly
/// would fill the memory with what they have sent so far.
const ROOM_KIB: usize = 64 * 1024;

/// The places of requests under way, and the room for their bodies, shared by all threads.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    places: Arc<Semaphore>,
    room: Arc<Semaphore>,
}

/// The room that a body takes up; free again when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Room {
    permit: Option<OwnedSemaphorePermit>,
}

/// A request's place; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
}

impl Admission {
    pub(crate) fn new(places: usize) -> Self {
        let most = places;
        let [places, room] = [places, ROOM_KIB].map(|it| Arc::new(Semaphore::new(it)));
        let taken = Arc::downgrade(&places);
        on_scrape(move || {
            let Some(places) = taken.upgrade() else { return false };
            let active = most.saturating_sub(places.available_permits());
            metrics::gauge!("http_server_active_requests")
                .set(f64::from(u32::try_from(active).unwrap_or(u32::MAX)));
            true
        });
        Self { places, room }
    }

    /// Takes a place, if there is one.
    pub(crate) fn admit(&self) -> Result<Place, ApiError> {
        match Arc::clone(&self.places).try_acquire_owned() {
            Ok(permit) => Ok(Place { _permit: permit }),
            Err(_) => Err(refuse()),
        }
    }

    /// Refuses while there is no place, so that nobody sends a body for nothing.
    pub(crate) fn check(&self) -> Result<(), ApiError> {
        if self.places.available_permits() > 0 { Ok(()) } else { Err(refuse()) }
    }

    /// Makes room for a body of so many bytes.
    pub(crate) fn grow(&self, room: &mut Room, bytes: usize) -> Result<(), ApiError> {
        let held = room.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = u32::try_from(bytes.div_ceil(1024).saturating_sub(held)).unwrap_or(u32::MAX);
        if missing == 0 {
            return Ok(());
        }
        let more = Arc::clone(&self.room).try_acquire_many_owned(missing).map_err(|_| refuse())?;
        match &mut room.permit {
            Some(permit) => permit.merge(more),
            None => room.permit = Some(more),
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_share_the_room_that_there_is() {
        let admission = Admission::new(1);
        let mut first = Room::default();
        for bytes in [1, 1000, 1024, 1025] {
            admission.grow(&mut first, bytes).unwrap();
        }
        assert_eq!(admission.room.available_permits(), ROOM_KIB - 2);
        let mut greedy = Room::default();
        assert!(admission.grow(&mut greedy, ROOM_KIB * 1024).is_err());
        drop(first);
        admission.grow(&mut greedy, ROOM_KIB * 1024).unwrap();
        assert!(admission.grow(&mut Room::default(), 1).is_err());
    }
}
