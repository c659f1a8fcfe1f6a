CREATE INDEX CONCURRENTLY IF NOT EXISTS order_changes ON sales.order_status_history (position) WHERE position > 0;
