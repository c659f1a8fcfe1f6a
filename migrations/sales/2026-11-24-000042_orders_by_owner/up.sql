CREATE INDEX CONCURRENTLY IF NOT EXISTS orders_by_owner ON sales.orders (owner, id) WHERE owner <> '';
