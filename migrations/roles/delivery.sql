-- Who may do what with the tables of the schema `delivery`; see sales.sql.
SELECT pg_temp.prepare(role, 'delivery')
FROM unnest(ARRAY['delivery_service', 'sales_reader', 'sales_operator']) AS role;

-- delivery-service starts timers and moves them on. No shipment is ever forgotten.
GRANT SELECT, INSERT, UPDATE (state, next_step_at, lease_token, lease_until, shipped_at, delivered_at)
    ON delivery.shipments TO delivery_service;

-- For people: `salesctl verify`.
GRANT SELECT ON delivery.shipments TO sales_reader, sales_operator;
