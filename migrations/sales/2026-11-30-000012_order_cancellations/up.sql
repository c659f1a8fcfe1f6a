-- Requests to cancel an order: at most one for an order. status-consumer applies the decision: the status of the order, or
-- here why it was refused.
CREATE TABLE sales.order_cancellations (
    order_id     uuid        PRIMARY KEY REFERENCES sales.orders (id) ON DELETE CASCADE,
    requested_by text        NOT NULL, -- the subject of the token
    reason       text        CHECK (char_length(reason) BETWEEN 1 AND 200),
    requested_at timestamptz NOT NULL,
    refusal      text,
    refused_at   timestamptz,
    CHECK ((refusal IS NULL) = (refused_at IS NULL))
);

ALTER TABLE sales.orders
    DROP CONSTRAINT orders_status_check,
    ADD CONSTRAINT orders_status_check CHECK (status IN ('Pending Shipment', 'Shipped', 'Delivered', 'Cancelled')) NOT VALID;
ALTER TABLE sales.order_status_history
    DROP CONSTRAINT order_status_history_status_check,
    ADD CONSTRAINT order_status_history_status_check
        CHECK (status IN ('Pending Shipment', 'Shipped', 'Delivered', 'Cancelled')) NOT VALID;
