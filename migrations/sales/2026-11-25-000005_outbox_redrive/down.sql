ALTER TABLE sales.outbox_events DROP COLUMN redrive_count;
