-- A queue: a row is deleted once Kafka has acknowledged its record. History is in Kafka, not here.
-- Every order lives in one shard (a hash of its id), so that one relay at a time carries its events.
CREATE TABLE sales.outbox_events (
    shard           smallint    NOT NULL CHECK (shard BETWEEN 0 AND 63),
    seq             bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    event_id        uuid        NOT NULL,
    aggregate_id    uuid        NOT NULL,               -- the order: the record's key
    topic           text        NOT NULL,
    event_type      text        NOT NULL,
    payload         json        NOT NULL,               -- json, not jsonb: the bytes go to Kafka as they were written
    headers         jsonb       NOT NULL,               -- what the columns don't say: source, schema, correlation, trace
    occurred_at     timestamptz NOT NULL,               -- when it happened, by the writer's clock: ce_time
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(), -- when the row was written, for its age
    attempts        smallint    NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT '-infinity',
    last_error      text,
    PRIMARY KEY (shard, seq)
) WITH (
    -- The table stays small while rows stream through it, so it is vacuumed by count, early and without pauses.
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 10000,
    autovacuum_vacuum_insert_scale_factor = 0,
    autovacuum_vacuum_insert_threshold = 100000,
    autovacuum_vacuum_cost_delay = 0
);

-- Who carries a shard, until when. token is a fencing token: it grows with every change of hands, and a relay
-- that was overtaken cannot mark anything, because it no longer knows the current one.
CREATE TABLE sales.outbox_shards (
    shard       smallint    PRIMARY KEY CHECK (shard BETWEEN 0 AND 63),
    owner       uuid,
    token       bigint      NOT NULL DEFAULT 0,
    lease_until timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 50);

INSERT INTO sales.outbox_shards (shard) SELECT generate_series(0, 63);

-- The relays that are alive, so that each can work out its fair share of the shards.
CREATE TABLE sales.outbox_relays (
    relay_id    uuid        PRIMARY KEY,
    lease_until timestamptz NOT NULL
);

-- Events that Kafka refused for good, whole, with the reason. They can be redriven.
CREATE TABLE sales.outbox_dead_letters (
    id               bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    shard            smallint    NOT NULL,
    event_id         uuid        NOT NULL,
    aggregate_id     uuid        NOT NULL,
    topic            text        NOT NULL,
    event_type       text        NOT NULL,
    payload          json        NOT NULL,
    headers          jsonb       NOT NULL,
    occurred_at      timestamptz NOT NULL,
    created_at       timestamptz NOT NULL,
    attempts         smallint    NOT NULL,
    reason           text        NOT NULL,
    dead_lettered_at timestamptz NOT NULL DEFAULT now(),
    redriven_at      timestamptz,
    redrive_count    integer     NOT NULL DEFAULT 0
);

CREATE INDEX outbox_dead_letters_waiting ON sales.outbox_dead_letters (id) WHERE redriven_at IS NULL;
