-- The events that were applied, by id: a second record with the same id changes nothing.
-- A row is kept longer than the topics keep their records, then reaped.
CREATE TABLE sales.inbox (
    event_id    uuid        PRIMARY KEY,
    received_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX inbox_received_at ON sales.inbox (received_at);
