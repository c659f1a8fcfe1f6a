-- Timer and outbox in one: the row says when the next step is due, and stays due until its event is acknowledged.
CREATE TABLE delivery.shipments (
    order_id       uuid        PRIMARY KEY,
    state          text        NOT NULL DEFAULT 'Pending Shipment'
                               CHECK (state IN ('Pending Shipment', 'Shipped', 'Delivered')),
    next_step_at   timestamptz,               -- null once delivered
    lease_token    uuid,                      -- a fencing token: only who holds it can mark the step done
    lease_until    timestamptz NOT NULL DEFAULT '-infinity',
    correlation_id text,
    traceparent    text,
    tracestate     text,
    created_at     timestamptz NOT NULL DEFAULT now(),
    shipped_at     timestamptz,
    delivered_at   timestamptz,
    CHECK ((next_step_at IS NULL) = (state = 'Delivered'))
) WITH (fillfactor = 70);

CREATE INDEX shipments_due ON delivery.shipments (next_step_at) WHERE next_step_at IS NOT NULL;
