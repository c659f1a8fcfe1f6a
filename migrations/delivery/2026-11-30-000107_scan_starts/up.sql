-- Where the scan of each shard starts, in microseconds since 1970, as in sales.outbox_shards: every earlier step is done.
ALTER TABLE delivery.shards ADD COLUMN scan_start bigint NOT NULL DEFAULT 0;
