ALTER TABLE delivery.shipments DROP COLUMN next_attempt_at;
DROP TABLE delivery.dispatchers;
DROP TABLE delivery.shards;
DROP FUNCTION delivery.lease_lasts;
DROP FUNCTION delivery.shard_of;
