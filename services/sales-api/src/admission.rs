//! How many requests are worked on at once. One more is refused at once: a fast 503 that says when to come again is
//! better than a slow 201 that makes everybody's slower.
//!
//! A place is taken when there is something to do: a client that is still sending its body occupies none. No subject
//! gets more than half of the places, nor of the room for bodies: what is left is there for the others.

use std::collections::HashMap;
use std::future::{Ready, ready};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use domain::Owner;
use service_kit::metrics::on_scrape;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::ApiError;

/// What bodies may take up while they are read and worked on, all together, in KiB. Without it, clients that send slowly
/// would fill the memory with what they have sent so far.
const ROOM_KIB: usize = 64 * 1024;

/// How long a subject that has taken up its share should wait.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Whose request it is, among its extensions.
#[derive(Clone, Debug)]
pub(crate) struct Subject(pub(crate) Owner);

/// The places of requests under way, and the room for their bodies, shared by all threads.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    places: Arc<Semaphore>,
    room: Arc<Semaphore>,
    subjects: Arc<Subjects>,
}

/// The room that a body takes up; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Room {
    share: Share,
    permit: Option<OwnedSemaphorePermit>,
}

/// A request's place; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
    _share: Share,
}

/// What the subjects take up of the places and of the room, where that is anything.
#[derive(Debug)]
struct Subjects {
    most: Taken,
    taken: Mutex<HashMap<Owner, Taken>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Taken {
    places: usize,
    room_kib: usize,
}

/// A part of what a subject takes up; given back when it is dropped.
#[derive(Debug)]
struct Share {
    subjects: Arc<Subjects>,
    owner: Owner,
    taken: Taken,
}

impl Admission {
    pub(crate) fn new(places: usize) -> Self {
        let half = |all: usize| (all / 2).max(1);
        let most = Taken { places: half(places), room_kib: half(ROOM_KIB) };
        let all = places;
        let [places, room] = [places, ROOM_KIB].map(|it| Arc::new(Semaphore::new(it)));
        let free = Arc::downgrade(&places);
        on_scrape(move || {
            let Some(free) = free.upgrade() else { return false };
            let active = all.saturating_sub(free.available_permits());
            metrics::gauge!("http_server_active_requests")
                .set(f64::from(u32::try_from(active).unwrap_or(u32::MAX)));
            true
        });
        Self { places, room, subjects: Arc::new(Subjects { most, taken: Mutex::default() }) }
    }

    /// Takes a place, if there is one.
    pub(crate) fn admit(&self, owner: &Owner) -> Result<Place, ApiError> {
        let permit = Arc::clone(&self.places).try_acquire_owned().map_err(|_| refuse())?;
        let mut share = self.nothing_yet(owner);
        share.grow(Taken { places: 1, room_kib: 0 })?;
        Ok(Place { _permit: permit, _share: share })
    }

    /// Refuses while there is no place, so that nobody sends a body for nothing.
    pub(crate) fn check(&self) -> Result<(), ApiError> {
        if self.places.available_permits() > 0 { Ok(()) } else { Err(refuse()) }
    }

    /// The room of a body that has not begun.
    pub(crate) fn room(&self, owner: &Owner) -> Room {
        Room { share: self.nothing_yet(owner), permit: None }
    }

    /// Makes room for a body of so many bytes.
    pub(crate) fn grow(&self, room: &mut Room, bytes: usize) -> Result<(), ApiError> {
        let missing = bytes.div_ceil(1024).saturating_sub(room.share.taken.room_kib);
        if missing == 0 {
            return Ok(());
        }
        let permits = u32::try_from(missing).unwrap_or(u32::MAX);
        let more = Arc::clone(&self.room).try_acquire_many_owned(permits).map_err(|_| refuse())?;
        room.share.grow(Taken { places: 0, room_kib: missing })?;
        match &mut room.permit {
            Some(permit) => permit.merge(more),
            None => room.permit = Some(more),
        }
        Ok(())
    }

    fn nothing_yet(&self, owner: &Owner) -> Share {
        let (subjects, owner) = (self.subjects.clone(), owner.clone());
        Share { subjects, owner, taken: Taken::default() }
    }

    /// The admission of the application that `request` is for, and whose request it is. Callers are known before anything
    /// else of a request is looked at.
    pub(crate) fn of(request: &HttpRequest) -> Result<(&Self, Owner), ApiError> {
        let admission = request.app_data::<web::Data<Self>>().map(|it| &***it);
        let subject = request.extensions().get::<Subject>().cloned();
        let both = admission.zip(subject).map(|(admission, subject)| (admission, subject.0));
        both.ok_or_else(|| ApiError::Internal("nobody is known to ask for admission".into()))
    }
}

impl Subjects {
    fn taken(&self) -> MutexGuard<'_, HashMap<Owner, Taken>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// Takes more, unless it is too much for one subject.
    fn grow(&mut self, more: Taken) -> Result<(), ApiError> {
        let Subjects { most, .. } = *self.subjects;
        let mut taken = self.subjects.taken();
        let subject = taken.entry(self.owner.clone()).or_default();
        let sum = *subject + more;
        if sum.places > most.places || sum.room_kib > most.room_kib {
            metrics::counter!("http_server_requests_refused_total").increment(1);
            return Err(ApiError::RateLimited { retry_after: RETRY_AFTER });
        }
        *subject = sum;
        drop(taken);
        self.taken = self.taken + more;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.subjects.taken();
        if let Some(subject) = taken.get_mut(&self.owner) {
            subject.places -= self.taken.places;
            subject.room_kib -= self.taken.room_kib;
            if *subject == Taken::default() {
                taken.remove(&self.owner);
            }
        }
    }
}

impl std::ops::Add for Taken {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { places: self.places + other.places, room_kib: self.room_kib + other.room_kib }
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
        ready(Admission::of(request).and_then(|(admission, owner)| admission.admit(&owner)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(name: &str) -> Owner {
        Owner::try_from(name.to_owned()).unwrap()
    }

    #[test]
    fn bodies_share_the_room_that_there_is() {
        let admission = Admission::new(1);
        let mut first = admission.room(&owner("alice"));
        for bytes in [1, 1000, 1024, 1025] {
            admission.grow(&mut first, bytes).unwrap();
        }
        assert_eq!(admission.room.available_permits(), ROOM_KIB - 2);
        let [mut half, mut other_half] = ["bob", "carol"].map(|name| admission.room(&owner(name)));
        admission.grow(&mut half, ROOM_KIB * 512).unwrap();
        assert!(admission.grow(&mut other_half, ROOM_KIB * 512).is_err());
        drop(first);
        admission.grow(&mut other_half, ROOM_KIB * 512).unwrap();
        assert!(admission.grow(&mut admission.room(&owner("alice")), 1).is_err());
        drop((half, other_half));
        assert!(admission.subjects.taken().is_empty());
    }

    #[test]
    fn no_subject_gets_more_than_half() {
        let admission = Admission::new(4);
        let (alice, bob) = (owner("alice"), owner("bob"));
        let places = [admission.admit(&alice).unwrap(), admission.admit(&alice).unwrap()];
        assert!(matches!(admission.admit(&alice), Err(ApiError::RateLimited { .. })));
        let _bobs = admission.admit(&bob).unwrap();
        drop(places);
        admission.admit(&alice).unwrap();

        let mut rooms: Vec<Room> = (0..256).map(|_| admission.room(&alice)).collect();
        let uploads = rooms.iter_mut().map(|room| admission.grow(room, 256 * 1024));
        assert_eq!(uploads.flatten().count(), 128);
        admission.grow(&mut admission.room(&bob), 256 * 1024).unwrap();
    }
}
