DROP TABLE sales.order_cancellations;
ALTER TABLE sales.order_status_history
    DROP CONSTRAINT order_status_history_status_check,
    ADD CONSTRAINT order_status_history_status_check
        CHECK (status IN ('Pending Shipment', 'Shipped', 'Delivered')) NOT VALID;
ALTER TABLE sales.orders
    DROP CONSTRAINT orders_status_check,
    ADD CONSTRAINT orders_status_check CHECK (status IN ('Pending Shipment', 'Shipped', 'Delivered')) NOT VALID;
