ALTER TABLE sales.order_status_history ADD CONSTRAINT order_status_history_order_id_fkey
    FOREIGN KEY (order_id) REFERENCES sales.orders (id) ON DELETE CASCADE NOT VALID;
