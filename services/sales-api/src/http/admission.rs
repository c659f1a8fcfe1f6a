//! Limits the number of concurrent requests. A request above the limit is refused at once: a fast
//! 503 with `Retry-After` is better than a slow 201 that delays all other requests.
//!
//! A request gets its permit when its body is complete, so a client that is still sending holds
//! none. A subject gets no more than half of the permits and half of the memory for bodies. The
//! rest is left for the others.

use std::collections::HashMap;
use std::future::{Ready, ready};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
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
    permits: Arc<Pool>,
    streams: Arc<Pool>,
    memory_kib: Arc<Pool>,
    /// Maximum time to receive a body.
    pub(crate) body_timeout: Duration,
}

/// The permit of a request; released on drop.
#[derive(Debug)]
pub(crate) struct Permit {
    _usage: Usage,
}

/// The memory that a body uses; released on drop.
#[derive(Debug)]
pub(crate) struct BodyMemory(Usage);

/// Something limited, of which a subject gets no more than half.
#[derive(Debug)]
struct Pool {
    free: Arc<Semaphore>,
    half: usize,
    /// What each subject uses. Subjects that use nothing have no entry.
    used: Mutex<HashMap<Owner, usize>>,
}

/// What a request uses of a pool; released on drop.
#[derive(Debug)]
struct Usage {
    pool: Arc<Pool>,
    owner: Owner,
    taken: Option<OwnedSemaphorePermit>,
}

impl Admission {
    pub(crate) fn new(permits: usize, streams: usize, body_timeout: Duration) -> Self {
        let [requests, streams_open, memory_kib] =
            [permits, streams, BODY_MEMORY_KIB].map(Pool::new);
        let pools = [&requests, &streams_open].map(Arc::downgrade);
        on_scrape(move || {
            let [Some(requests), Some(open)] = pools.each_ref().map(Weak::upgrade) else {
                return false;
            };
            let active = permits.saturating_sub(requests.free.available_permits());
            metrics::gauge!("http_server_active_requests").set(count(active));
            let open = streams.saturating_sub(open.free.available_permits());
            metrics::gauge!("http_server_event_streams").set(count(open));
            true
        });
        Self { permits: requests, streams: streams_open, memory_kib, body_timeout }
    }

    /// Takes the permit of a stream, if one is free. Streams take none from other requests.
    pub(crate) fn admit_stream(&self, owner: &Owner) -> Result<Permit, ApiError> {
        let mut usage = Pool::no_usage(&self.streams, owner);
        usage.grow_to(1)?;
        Ok(Permit { _usage: usage })
    }

    /// Takes a permit, if one is free.
    pub(crate) fn admit(&self, owner: &Owner) -> Result<Permit, ApiError> {
        let mut usage = Pool::no_usage(&self.permits, owner);
        usage.grow_to(1)?;
        Ok(Permit { _usage: usage })
    }

    /// Fails while no permit is free, so that a client does not send its body in vain.
    pub(crate) fn check(&self) -> Result<(), ApiError> {
        if self.permits.free.available_permits() > 0 {
            Ok(())
        } else {
            Err(refused(ApiError::Overloaded))
        }
    }

    /// The memory of a body of which nothing was received yet.
    pub(crate) fn memory(&self, owner: &Owner) -> BodyMemory {
        BodyMemory(Pool::no_usage(&self.memory_kib, owner))
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

impl BodyMemory {
    /// Grows the memory to this number of bytes.
    pub(crate) fn grow_to(&mut self, bytes: usize) -> Result<(), ApiError> {
        self.0.grow_to(bytes.div_ceil(1024))
    }
}

impl Pool {
    fn new(size: usize) -> Arc<Self> {
        let (free, half) = (Arc::new(Semaphore::new(size)), (size / 2).max(1));
        Arc::new(Self { free, half, used: Mutex::default() })
    }

    fn no_usage(pool: &Arc<Self>, owner: &Owner) -> Usage {
        Usage { pool: pool.clone(), owner: owner.clone(), taken: None }
    }

    fn used(&self) -> MutexGuard<'_, HashMap<Owner, usize>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Usage {
    fn size(&self) -> usize {
        self.taken.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    /// Takes what is missing, if it is free and the subject does not exceed its limit.
    fn grow_to(&mut self, size: usize) -> Result<(), ApiError> {
        let missing = size.saturating_sub(self.size());
        if missing == 0 {
            return Ok(());
        }
        let count = u32::try_from(missing).unwrap_or(u32::MAX);
        let more = Arc::clone(&self.pool.free)
            .try_acquire_many_owned(count)
            .map_err(|_| refused(ApiError::Overloaded))?;
        let mut used = self.pool.used();
        let subject = used.entry(self.owner.clone()).or_default();
        if *subject + missing > self.pool.half {
            return Err(refused(ApiError::RateLimited { retry_after: RETRY_AFTER }));
        }
        *subject += missing;
        match &mut self.taken {
            Some(taken) => taken.merge(more),
            None => self.taken = Some(more),
        }
        Ok(())
    }
}

impl Drop for Usage {
    fn drop(&mut self) {
        let mut used = self.pool.used();
        if let Some(subject) = used.get_mut(&self.owner) {
            *subject -= self.size();
            if *subject == 0 {
                used.remove(&self.owner);
            }
        }
    }
}

fn refused(error: ApiError) -> ApiError {
    metrics::counter!("http_server_requests_refused_total").increment(1);
    error
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
    fn request_bodies_share_one_memory_limit() {
        let admission = Admission::new(1, 1, Duration::MAX);
        let mut first = admission.memory(&owner("alice"));
        for bytes in [1, 1000, 1024, 1025] {
            first.grow_to(bytes).unwrap();
        }
        assert_eq!(admission.memory_kib.free.available_permits(), BODY_MEMORY_KIB - 2);
        let [mut half, mut other_half] =
            ["bob", "carol"].map(|name| admission.memory(&owner(name)));
        half.grow_to(BODY_MEMORY_KIB * 512).unwrap();
        assert!(other_half.grow_to(BODY_MEMORY_KIB * 512).is_err());
        drop(first);
        other_half.grow_to(BODY_MEMORY_KIB * 512).unwrap();
        assert!(admission.memory(&owner("alice")).grow_to(1).is_err());
        drop((half, other_half));
        assert!(admission.memory_kib.used().is_empty());
    }

    #[test]
    fn no_subject_gets_more_than_half_of_the_permits_or_the_memory() {
        let admission = Admission::new(4, 1, Duration::MAX);
        let (alice, bob) = (owner("alice"), owner("bob"));
        let permits = [admission.admit(&alice).unwrap(), admission.admit(&alice).unwrap()];
        assert!(matches!(admission.admit(&alice), Err(ApiError::RateLimited { .. })));
        let _bobs = admission.admit(&bob).unwrap();
        drop(permits);
        admission.admit(&alice).unwrap();

        let mut bodies: Vec<BodyMemory> = (0..256).map(|_| admission.memory(&alice)).collect();
        let uploads = bodies.iter_mut().map(|memory| memory.grow_to(256 * 1024));
        assert_eq!(uploads.flatten().count(), 128);
        admission.memory(&bob).grow_to(256 * 1024).unwrap();
    }
}
