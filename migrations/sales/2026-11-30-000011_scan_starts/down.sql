ALTER TABLE sales.outbox_shards DROP COLUMN scan_start;
