ALTER TABLE sales.orders DROP COLUMN metadata, DROP COLUMN currency, DROP COLUMN external_reference;
