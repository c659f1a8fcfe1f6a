CREATE INDEX CONCURRENTLY IF NOT EXISTS orders_by_customer ON sales.orders (customer_id, id) WHERE customer_id <> '';
