ALTER TABLE sales.orders DROP CONSTRAINT orders_owner_check, DROP CONSTRAINT orders_customer_id_check;
