DROP INDEX delivery.shipments_by_shard;
