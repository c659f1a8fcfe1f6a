-- Looks at every order, and holds up none.
ALTER TABLE sales.orders VALIDATE CONSTRAINT orders_status_check;
ALTER TABLE sales.order_status_history VALIDATE CONSTRAINT order_status_history_status_check;
