-- Lists of the orders with an external reference. Orders without one have no entry.
CREATE INDEX CONCURRENTLY IF NOT EXISTS orders_by_reference ON sales.orders (external_reference, id)
    WHERE external_reference IS NOT NULL;
