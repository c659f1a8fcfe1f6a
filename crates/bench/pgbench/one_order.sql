-- One order per transaction, in one prepared statement: the upper bound for a service that writes
-- each order by itself. The tables, columns and rows are those of store::orders::insert_batch.
-- `make bench` passes the strings as -D NAME=VALUE, because a client has to send them too.
\set customer random(1, 1000)
\set shard random(0, 63)
WITH accepted AS (
    INSERT INTO sales.orders
        (id, owner, idempotency_key, fingerprint, customer_id, total_amount, created_at,
         external_reference, currency, metadata, status)
    -- uuidv7, as in the API: the index entries of new rows are in the same pages.
    VALUES (uuidv7(), :owner::text, 'bench-' || uuidv7(), decode(:fingerprint::text, 'hex'),
        'customer-' || :customer::text, :total::numeric, clock_timestamp(),
        NULL, :currency::text, NULL, :status::text)
    ON CONFLICT (owner, idempotency_key) DO NOTHING
    RETURNING id, created_at, status
), lines AS (
    INSERT INTO sales.order_items (order_id, line_no, product_id, quantity, unit_price)
    SELECT id, 1, :product::text, :quantity::integer, :price::numeric FROM accepted
), events AS (
    INSERT INTO sales.outbox_events
        (shard, event_id, aggregate_id, topic, event_type, payload, headers, occurred_at)
    SELECT :shard::smallint, gen_random_uuid(), id, :topic::text, :event_type::text, :payload::json,
        :headers::jsonb, created_at
    FROM accepted
    RETURNING event_id, aggregate_id
), history AS (
    INSERT INTO sales.order_status_history (order_id, sequence, status, event_id, occurred_at)
    SELECT a.id, 1, a.status, e.event_id, a.created_at
    FROM accepted a JOIN events e ON e.aggregate_id = a.id
)
SELECT id FROM accepted;
