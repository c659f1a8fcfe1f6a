ALTER TABLE sales.outbox_dead_letters DROP COLUMN discarded_at, DROP COLUMN discard_reason;
