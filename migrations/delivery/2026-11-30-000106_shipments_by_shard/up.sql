-- The due steps of a shard, the oldest first. The previous version uses shipments_due, which a later release drops.
CREATE INDEX CONCURRENTLY IF NOT EXISTS shipments_by_shard ON delivery.shipments (delivery.shard_of(order_id), next_step_at)
    WHERE next_step_at IS NOT NULL;
