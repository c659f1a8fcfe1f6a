//! A figure that all viewers share. It is read in the background, and only for a page that shows it
//! or for the history: so ten open pages cost as much as one, and a page never waits for a slow server.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::section::{Loaded, load};

/// Pause between two reads.
const PAUSE: Duration = Duration::from_secs(2);
/// The age up to which a figure is shown.
const MAX_AGE: Duration = Duration::from_secs(10);
/// Maximum time for which a page waits for the first figure.
const MAX_WAIT: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(crate) struct Sampled<T> {
    latest: watch::Sender<Option<(Instant, Loaded<T>)>>,
    viewed: Notify,
}

impl<T> Default for Sampled<T> {
    fn default() -> Self {
        Self { latest: watch::Sender::new(None), viewed: Notify::new() }
    }
}

impl<T: Clone> Sampled<T> {
    /// The latest figure. Reads it again in the background.
    pub(crate) async fn get(&self) -> Loaded<T> {
        self.wait(MAX_WAIT, |at| at.elapsed() < MAX_AGE).await
    }

    /// The next figure, of a read that ends after this call.
    pub(crate) async fn next(&self) -> Loaded<T> {
        let begin = Instant::now();
        self.wait(MAX_AGE, |at| at > begin).await
    }

    async fn wait(&self, max: Duration, is_fresh: impl Fn(Instant) -> bool) -> Loaded<T> {
        let mut latest = self.latest.subscribe();
        self.viewed.notify_one();
        let is_fresh = |sample: &Option<(Instant, Loaded<T>)>| {
            sample.as_ref().is_some_and(|(at, _)| is_fresh(*at))
        };
        match timeout(max, latest.wait_for(is_fresh)).await {
            Ok(Ok(sample)) => match &*sample {
                Some((_, loaded)) => loaded.clone(),
                None => Err("it was not read yet".to_owned()),
            },
            _ => Err("it is still being read".to_owned()),
        }
    }

    /// Reads whenever the figure is viewed, until `stop`.
    pub(crate) async fn run<E, F>(
        &self,
        stop: CancellationToken,
        read: impl Fn() -> F,
    ) -> Result<(), Infallible>
    where
        E: Error + 'static,
        F: Future<Output = Result<T, E>>,
    {
        let sample = async {
            loop {
                self.viewed.notified().await;
                let loaded = load(read()).await;
                self.latest.send_replace(Some((Instant::now(), loaded)));
                sleep(PAUSE).await;
            }
        };
        stop.run_until_cancelled(sample).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A figure that counts how often it was read, and needs this time for it.
    fn counted(takes: Duration) -> (Arc<Sampled<usize>>, Arc<AtomicUsize>, CancellationToken) {
        let (sampled, reads) = (Arc::new(Sampled::default()), Arc::new(AtomicUsize::new(0)));
        let stop = CancellationToken::new();
        let (figure, count, end) = (sampled.clone(), reads.clone(), stop.clone());
        tokio::spawn(async move {
            let read = || {
                let count = count.clone();
                async move {
                    sleep(takes).await;
                    Ok::<_, io::Error>(count.fetch_add(1, Ordering::Relaxed) + 1)
                }
            };
            figure.run(end, read).await
        });
        (sampled, reads, stop)
    }

    #[tokio::test(start_paused = true)]
    async fn many_viewers_cause_one_read_and_no_viewer_none() {
        let (sampled, reads, _stop) = counted(Duration::from_millis(100));
        let views = (0..50).map(|_| sampled.get());
        for view in futures::future::join_all(views).await {
            assert_eq!(view, Ok(1));
        }
        sleep(Duration::from_mins(1)).await;
        // One more for those that viewed it during the read.
        assert!(reads.load(Ordering::Relaxed) <= 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_viewer_waits_two_seconds_for_a_slow_read_and_gets_no_old_figure() {
        let (sampled, _, _stop) = counted(Duration::from_secs(3));
        let begin = Instant::now();
        assert_eq!(sampled.get().await, Err("it is still being read".to_owned()));
        assert_eq!(begin.elapsed(), MAX_WAIT);
        sleep(Duration::from_secs(2)).await;
        assert_eq!(sampled.get().await, Ok(1));
        sleep(Duration::from_secs(30)).await;
        assert_eq!(sampled.get().await, Err("it is still being read".to_owned()));
    }
}
