-- The shard of a shipment. It is computed and not stored: a new column would have to be filled for every row, and the previous
-- version would insert rows without it. uuid_hash is also the hash of hash indexes.
CREATE FUNCTION delivery.shard_of(order_id uuid) RETURNS smallint
    IMMUTABLE PARALLEL SAFE
    RETURN (uuid_hash(order_id) & 63)::smallint;

-- The lease of each shard, as in sales.outbox_shards: one dispatcher at a time publishes the steps of a shard and makes all
-- decisions about its shipments. token is a fencing token, which grows with each new lease.
CREATE TABLE delivery.shards (
    shard       smallint    PRIMARY KEY CHECK (shard BETWEEN 0 AND 63),
    owner       uuid,
    token       bigint      NOT NULL DEFAULT 0,
    lease_until timestamptz NOT NULL DEFAULT '-infinity',
    lease_ms    bigint
) WITH (fillfactor = 50);

INSERT INTO delivery.shards (shard) SELECT generate_series(0, 63);

-- The dispatchers that are alive, for the fair share of each.
CREATE TABLE delivery.dispatchers (
    dispatcher_id uuid        PRIMARY KEY,
    lease_until   timestamptz NOT NULL,
    lease_ms      bigint      NOT NULL
);

-- As sales.lease_lasts; the two schemas may be in two databases.
CREATE FUNCTION delivery.lease_lasts(lease_until timestamptz, lease_ms bigint) RETURNS boolean
    STABLE PARALLEL SAFE
    RETURN lease_until >= now()
       AND (lease_ms IS NULL OR lease_until <= now() + 2 * lease_ms * interval '1 millisecond');

-- A deferred step waits until then. No index contains it, so a deferral is a HOT update.
ALTER TABLE delivery.shipments ADD COLUMN next_attempt_at timestamptz NOT NULL DEFAULT '-infinity';
