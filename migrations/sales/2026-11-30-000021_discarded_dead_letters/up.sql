-- An operator can discard a dead letter, which then waits no longer. The row stays.
ALTER TABLE sales.outbox_dead_letters ADD COLUMN discarded_at timestamptz, ADD COLUMN discard_reason text;
