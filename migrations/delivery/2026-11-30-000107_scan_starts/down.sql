ALTER TABLE delivery.shards DROP COLUMN scan_start;
