-- The rights on the tables of the schema `delivery`; see sales.sql. As there, a right is revoked
-- one release after the last statement that needs it, because the previous version still runs
-- during an upgrade, and after a rollback.
SELECT pg_temp.prepare(role, 'delivery')
FROM unnest(ARRAY['delivery_service', 'sales_reader', 'sales_operator', 'sales_console']) AS role;

-- delivery-service inserts and updates shipments, and leases their shards. Shipments are never
-- deleted.
GRANT SELECT, INSERT,
    UPDATE (state, next_step_at, next_attempt_at, refused_step_at, refusal, lease_token, lease_until, shipped_at, delivered_at,
            cancelled_at, resume_at, cancellation, cancellation_requested_at, cancellation_correlation_id,
            cancellation_traceparent, cancellation_tracestate, cancellation_refused_at)
    ON delivery.shipments TO delivery_service;
GRANT SELECT, UPDATE (owner, token, lease_until, lease_ms, scan_start, claimed_until) ON delivery.shards TO delivery_service;
GRANT SELECT, INSERT, DELETE, UPDATE (lease_until, lease_ms) ON delivery.dispatchers TO delivery_service;
SELECT pg_temp.let_see_transactions('delivery_service');

-- For `salesctl verify`, `salesctl shipments dead-letters` and the console. Operators also redrive dead-lettered
-- steps, with salesctl or in the console, which moves the starts of the scans back.
GRANT SELECT ON delivery.shipments, delivery.shards, delivery.dispatchers TO sales_reader, sales_operator, sales_console;
GRANT UPDATE (next_step_at, refused_step_at, refusal) ON delivery.shipments TO sales_operator, sales_console;
GRANT UPDATE (scan_start) ON delivery.shards TO sales_operator, sales_console;
