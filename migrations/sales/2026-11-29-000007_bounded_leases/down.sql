DROP FUNCTION sales.lease_lasts;
ALTER TABLE sales.outbox_shards DROP COLUMN lease_ms;
ALTER TABLE sales.outbox_relays DROP COLUMN lease_ms;
