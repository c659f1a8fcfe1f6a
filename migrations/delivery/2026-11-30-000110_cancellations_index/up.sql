CREATE INDEX CONCURRENTLY IF NOT EXISTS shipments_to_cancel ON delivery.shipments (delivery.shard_of(order_id))
    WHERE cancellation = 'requested';
