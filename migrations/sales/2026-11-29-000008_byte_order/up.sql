-- What the first migration says of identifiers, for databases that it made before it said so. No version was released by
-- then, so no order of a shop waits for this; and a database that is made now has nothing to do here.
DO $$
BEGIN
    IF EXISTS (
        SELECT FROM information_schema.columns
        WHERE table_schema = 'sales' AND table_name = 'orders' AND column_name = 'owner' AND collation_name IS NULL
    ) THEN
        ALTER TABLE sales.orders
            ALTER COLUMN owner TYPE text COLLATE "C",
            ALTER COLUMN idempotency_key TYPE text COLLATE "C",
            ALTER COLUMN customer_id TYPE text COLLATE "C";
    END IF;
END
$$;
