-- What a client may add to an order. The previous version inserts orders without these columns. The statement reads and
-- rewrites no row: a default that is a constant is stored once, for all rows that exist.
ALTER TABLE sales.orders
    ADD COLUMN external_reference text COLLATE "C",
    ADD COLUMN currency           text COLLATE "C" NOT NULL DEFAULT 'EUR',
    ADD COLUMN metadata           jsonb; -- an object of texts; NULL without one
