-- Where the scan of each shard starts, for its next holder: every event with a smaller sequence number is gone, and no
-- transaction can commit one any more.
ALTER TABLE sales.outbox_shards ADD COLUMN scan_start bigint NOT NULL DEFAULT 0;
