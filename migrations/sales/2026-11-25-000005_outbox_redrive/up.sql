-- How often the event was put back from the dead letters. It travels with the event, so that one which is refused again
-- becomes a dead letter that knows its number, and a redrive can leave alone what comes back for ever.
ALTER TABLE sales.outbox_events ADD COLUMN redrive_count integer NOT NULL DEFAULT 0;
