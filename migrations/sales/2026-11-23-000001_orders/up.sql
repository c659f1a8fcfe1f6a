-- The order is its own idempotency record: the key, and the fingerprint of what was asked for under it, live in
-- the row they protect and as long as it does.
--
-- Identifiers are compared byte by byte: an order by language is another one after an upgrade of the system's libraries, and
-- an index in the former order no longer finds a key.
CREATE TABLE sales.orders (
    id              uuid           PRIMARY KEY,
    owner           text COLLATE "C" NOT NULL,
    idempotency_key text COLLATE "C" NOT NULL,
    fingerprint     bytea          NOT NULL CHECK (octet_length(fingerprint) = 32),
    customer_id     text COLLATE "C" NOT NULL,
    total_amount    numeric(12, 2) NOT NULL CHECK (total_amount >= 0),
    status          text           NOT NULL CHECK (status IN ('Pending Shipment', 'Shipped', 'Delivered')),
    created_at      timestamptz    NOT NULL,
    UNIQUE (owner, idempotency_key)
) WITH (fillfactor = 85); -- room for the two status changes beside the row, so that no index is touched (HOT)

CREATE TABLE sales.order_items (
    order_id   uuid           NOT NULL REFERENCES sales.orders (id) ON DELETE CASCADE,
    line_no    smallint       NOT NULL CHECK (line_no BETWEEN 1 AND 200),
    product_id text           NOT NULL,
    quantity   integer        NOT NULL CHECK (quantity BETWEEN 1 AND 1000000),
    unit_price numeric(12, 2) NOT NULL CHECK (unit_price >= 0),
    PRIMARY KEY (order_id, line_no)
);

-- Every status an order had. sequence is the place in its life (1, 2, 3): the primary key allows each step once.
CREATE TABLE sales.order_status_history (
    order_id    uuid        NOT NULL REFERENCES sales.orders (id) ON DELETE CASCADE,
    sequence    smallint    NOT NULL CHECK (sequence BETWEEN 1 AND 3),
    status      text        NOT NULL CHECK (status IN ('Pending Shipment', 'Shipped', 'Delivered')),
    event_id    uuid        NOT NULL,
    occurred_at timestamptz NOT NULL,               -- by the clock of the service that reported it
    recorded_at timestamptz NOT NULL DEFAULT now(), -- by the clock of this database
    PRIMARY KEY (order_id, sequence)
);
