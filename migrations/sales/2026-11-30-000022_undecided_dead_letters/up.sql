-- The dead letters that wait for an operator. `outbox_dead_letters_waiting` also has the discarded
-- ones, which `salesctl verify` reads.
CREATE INDEX CONCURRENTLY IF NOT EXISTS outbox_dead_letters_undecided ON sales.outbox_dead_letters (id)
    WHERE redriven_at IS NULL AND discarded_at IS NULL;
