-- The rows that wait for their next attempt, by order: a claim passes over the whole order. The others, which are nearly
-- all, are not in it, so that it costs an insert nothing.
CREATE INDEX CONCURRENTLY outbox_events_waiting ON sales.outbox_events (shard, aggregate_id)
    WHERE next_attempt_at > '-infinity';
