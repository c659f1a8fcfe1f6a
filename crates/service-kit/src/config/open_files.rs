//! The limit on open files, and how many client connections fit in it.
//!
//! A process at its limit accepts no connection, not even from a probe, and its web server retries
//! without a pause. So client connections are limited to what is left after all other files of the
//! process.

use std::cmp::max;

/// Files other than connections to peers: listeners, logs, timers, connections to the management
/// port.
const OWN: usize = 192;

/// Raises the soft limit as far as the system permits, as other language runtimes do: the usual
/// limit of 1024 exists for programs that use `select`. Returns the new limit.
pub fn raise_limit() -> usize {
    let (soft, _) = rlimit::Resource::NOFILE.get().unwrap_or((1024, 1024));
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(soft);
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// The maximum number of client connections of a process that keeps `kept` other connections open,
/// and opens `each_request` more for each of `requests` concurrent requests. A connection has one
/// request at a time.
pub fn client_connections(
    limit: usize,
    kept: usize,
    requests: usize,
    each_request: usize,
) -> usize {
    let left = limit.saturating_sub(OWN + kept);
    max(left.saturating_sub(requests * each_request), left / (1 + each_request)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_connections_are_limited_by_the_remaining_open_files() {
        // Many files: enough for all concurrent requests.
        assert_eq!(client_connections(100_000, 8, 512, 2), 100_000 - OWN - 8 - 1024);
        // Few files: there are at most as many requests as connections.
        assert_eq!(client_connections(OWN + 8 + 300, 8, 512, 2), 100);
        assert_eq!(client_connections(100, 8, 512, 2), 1);
    }
}
