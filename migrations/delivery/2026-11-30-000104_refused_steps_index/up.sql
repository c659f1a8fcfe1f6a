CREATE INDEX CONCURRENTLY IF NOT EXISTS shipments_refused ON delivery.shipments (refused_step_at) WHERE refused_step_at IS NOT NULL;
