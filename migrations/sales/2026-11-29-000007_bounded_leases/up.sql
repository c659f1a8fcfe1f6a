-- How long each lease was given for. By a clock that was set back, or that of another server after a failover, a lease can
-- end long after that; then it counts as ended. NULL is that of a relay which does not say it yet.
ALTER TABLE sales.outbox_shards ADD COLUMN lease_ms bigint;
ALTER TABLE sales.outbox_relays ADD COLUMN lease_ms bigint;

-- Twice its length ahead is too far. One length is not: now() is when this transaction began, which may be before the one
-- that gave the lease.
CREATE FUNCTION sales.lease_lasts(lease_until timestamptz, lease_ms bigint) RETURNS boolean
    STABLE PARALLEL SAFE
    RETURN lease_until >= now()
       AND (lease_ms IS NULL OR lease_until <= now() + 2 * lease_ms * interval '1 millisecond');
