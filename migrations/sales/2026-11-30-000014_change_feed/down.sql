ALTER TABLE sales.order_status_history DROP COLUMN position;
