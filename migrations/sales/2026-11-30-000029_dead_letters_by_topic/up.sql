-- Descending by an expression: a plan for an empty table must not look up an id here instead of in the primary key.
CREATE INDEX CONCURRENTLY IF NOT EXISTS outbox_dead_letters_by_topic ON sales.outbox_dead_letters (topic COLLATE "C", (-id));
