//! Limits the number of concurrent requests. A request above the limit is refused at once: a fast
//! 503 with `Retry-After` is better than a slow 201 that delays all other requests.
//!
//! A request gets its permit when its body is complete, so a client that is still sending holds
//! none. A subject gets no more than half of the permits and half of the memory for bodies. The
//! rest is left for the others.

use std::collections::HashMap;
use std::future::{Ready, ready};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use domain::Owner;
use service_kit::convert::count;
use service_kit::telemetry::metrics::on_scrape;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::http::problem::ApiError;

/// Memory for all bodies that are being received or processed, in KiB. Without this limit, clients
/// that send slowly could fill the memory with incomplete bodies.
const BODY_MEMORY_KIB: usize = 64 * 1024;

/// `Retry-After` for a subject that has reached its limit.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The subject of a request, in its extensions.
#[derive(Clone, Debug)]
pub(crate) struct Subject(pub(crate) Owner);

/// The permits of requests and the memory for their bodies, shared by all threads.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    permits: Arc<Semaphore>,
    memory: Arc<Semaphore>,
    subjects: Arc<Subjects>,
}

/// The memory that a body uses; released on drop.
#[derive(Debug)]
pub(crate) struct BodyMemory {
    reservation: Reservation,
    permit: Option<OwnedSemaphorePermit>,
}

/// The permit of a request; released on drop.
#[derive(Debug)]
pub(crate) struct Permit {
    _permit: OwnedSemaphorePermit,
    _reservation: Reservation,
}

/// What each subject uses of the permits and the memory. Subjects that use nothing have no entry.
#[derive(Debug)]
struct Subjects {
    limits: Usage,
    usage: Mutex<HashMap<Owner, Usage>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Usage {
    permits: usize,
    memory_kib: usize,
}

/// One part of what a subject uses; released on drop.
#[derive(Debug)]
struct Reservation {
    subjects: Arc<Subjects>,
    owner: Owner,
    usage: Usage,
}

impl Admission {
    pub(crate) fn new(permits: usize) -> Self {
        let half = |all: usize| (all / 2).max(1);
        let limits = Usage { permits: half(permits), memory_kib: half(BODY_MEMORY_KIB) };
        let all = permits;
        let [permits, memory] = [permits, BODY_MEMORY_KIB].map(|it| Arc::new(Semaphore::new(it)));
        let free = Arc::downgrade(&permits);
        on_scrape(move || {
            let Some(free) = free.upgrade() else { return false };
            let active = all.saturating_sub(free.available_permits());
            metrics::gauge!("http_server_active_requests").set(count(active));
            true
        });
        Self { permits, memory, subjects: Arc::new(Subjects { limits, usage: Mutex::default() }) }
    }

    /// Takes a permit, if one is free.
    pub(crate) fn admit(&self, owner: &Owner) -> Result<Permit, ApiError> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().map_err(|_| refuse())?;
        let mut reservation = self.empty_reservation(owner);
        reservation.grow(Usage { permits: 1, memory_kib: 0 })?;
        Ok(Permit { _permit: permit, _reservation: reservation })
    }

    /// Fails while no permit is free, so that a client does not send its body in vain.
    pub(crate) fn check(&self) -> Result<(), ApiError> {
        if self.permits.available_permits() > 0 { Ok(()) } else { Err(refuse()) }
    }

    /// The memory of a body of which nothing was received yet.
    pub(crate) fn memory(&self, owner: &Owner) -> BodyMemory {
        BodyMemory { reservation: self.empty_reservation(owner), permit: None }
    }

    /// Grows the memory of a body to this number of bytes.
    pub(crate) fn grow(&self, memory: &mut BodyMemory, bytes: usize) -> Result<(), ApiError> {
        let missing = bytes.div_ceil(1024).saturating_sub(memory.reservation.usage.memory_kib);
        if missing == 0 {
            return Ok(());
        }
        let permits = u32::try_from(missing).unwrap_or(u32::MAX);
        let more =
            Arc::clone(&self.memory).try_acquire_many_owned(permits).map_err(|_| refuse())?;
        memory.reservation.grow(Usage { permits: 0, memory_kib: missing })?;
        match &mut memory.permit {
            Some(permit) => permit.merge(more),
            None => memory.permit = Some(more),
        }
        Ok(())
    }

    fn empty_reservation(&self, owner: &Owner) -> Reservation {
        let (subjects, owner) = (self.subjects.clone(), owner.clone());
        Reservation { subjects, owner, usage: Usage::default() }
    }

    /// The admission of the app and the subject of `request`. The caller must be authenticated
    /// first.
    pub(crate) fn of(request: &HttpRequest) -> Result<(&Self, Owner), ApiError> {
        let admission = request.app_data::<web::Data<Self>>().map(|it| &***it);
        let subject = request.extensions().get::<Subject>().cloned();
        let both = admission.zip(subject).map(|(admission, subject)| (admission, subject.0));
        both.ok_or_else(|| ApiError::Internal("admission requires an authenticated caller".into()))
    }
}

impl Subjects {
    fn usage(&self) -> MutexGuard<'_, HashMap<Owner, Usage>> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reservation {
    /// Reserves more, unless the subject would exceed its limit.
    fn grow(&mut self, more: Usage) -> Result<(), ApiError> {
        let Subjects { limits, .. } = *self.subjects;
        let mut usage = self.subjects.usage();
        let subject = usage.entry(self.owner.clone()).or_default();
        let sum = *subject + more;
        if sum.permits > limits.permits || sum.memory_kib > limits.memory_kib {
            metrics::counter!("http_server_requests_refused_total").increment(1);
            return Err(ApiError::RateLimited { retry_after: RETRY_AFTER });
        }
        *subject = sum;
        drop(usage);
        self.usage = self.usage + more;
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut usage = self.subjects.usage();
        if let Some(subject) = usage.get_mut(&self.owner) {
            subject.permits -= self.usage.permits;
            subject.memory_kib -= self.usage.memory_kib;
            if *subject == Usage::default() {
                usage.remove(&self.owner);
            }
        }
    }
}

impl std::ops::Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            permits: self.permits + other.permits,
            memory_kib: self.memory_kib + other.memory_kib,
        }
    }
}

fn refuse() -> ApiError {
    metrics::counter!("http_server_requests_refused_total").increment(1);
    ApiError::Overloaded
}

/// Takes the permit of a request without a body.
impl FromRequest for Permit {
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
    fn bodies_share_one_memory_limit() {
        let admission = Admission::new(1);
        let mut first = admission.memory(&owner("alice"));
        for bytes in [1, 1000, 1024, 1025] {
            admission.grow(&mut first, bytes).unwrap();
        }
        assert_eq!(admission.memory.available_permits(), BODY_MEMORY_KIB - 2);
        let [mut half, mut other_half] =
            ["bob", "carol"].map(|name| admission.memory(&owner(name)));
        admission.grow(&mut half, BODY_MEMORY_KIB * 512).unwrap();
        assert!(admission.grow(&mut other_half, BODY_MEMORY_KIB * 512).is_err());
        drop(first);
        admission.grow(&mut other_half, BODY_MEMORY_KIB * 512).unwrap();
        assert!(admission.grow(&mut admission.memory(&owner("alice")), 1).is_err());
        drop((half, other_half));
        assert!(admission.subjects.usage().is_empty());
    }

    #[test]
    fn no_subject_gets_more_than_half() {
        let admission = Admission::new(4);
        let (alice, bob) = (owner("alice"), owner("bob"));
        let permits = [admission.admit(&alice).unwrap(), admission.admit(&alice).unwrap()];
        assert!(matches!(admission.admit(&alice), Err(ApiError::RateLimited { .. })));
        let _bobs = admission.admit(&bob).unwrap();
        drop(permits);
        admission.admit(&alice).unwrap();

        let mut bodies: Vec<BodyMemory> = (0..256).map(|_| admission.memory(&alice)).collect();
        let uploads = bodies.iter_mut().map(|memory| admission.grow(memory, 256 * 1024));
        assert_eq!(uploads.flatten().count(), 128);
        admission.grow(&mut admission.memory(&bob), 256 * 1024).unwrap();
    }
}
