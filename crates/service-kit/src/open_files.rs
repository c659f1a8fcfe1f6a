//! How many files a process may have open, and how many of them can be connections of clients.
//!
//! A process at its limit accepts no connection, not even that of a probe, and its web server tries again without a pause.
//! So clients get what is left after everything else that the process opens.

use std::cmp::max;

/// What a process opens beside connections to peers: its listeners, logs, timers, and connections to its management port.
const OWN: usize = 192;

/// Raises the limit as far as the system lets this process, as runtimes of other languages do: the usual soft limit of
/// 1024 is made for programs that use `select`. Returns the limit.
pub fn raise_limit() -> usize {
    let (soft, _) = rlimit::Resource::NOFILE.get().unwrap_or((1024, 1024));
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(soft);
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// How many connections clients may have, where the process keeps so many others open in any case, and opens
/// `each_request` more for each of `requests` that are worked on at once. Each connection has one request at a time.
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
    fn clients_get_what_is_left() {
        // Many files: each request may need all of its own.
        assert_eq!(client_connections(100_000, 8, 512, 2), 100_000 - OWN - 8 - 1024);
        // Few: there are never more requests than connections.
        assert_eq!(client_connections(OWN + 8 + 300, 8, 512, 2), 100);
        assert_eq!(client_connections(100, 8, 512, 2), 1);
    }
}
