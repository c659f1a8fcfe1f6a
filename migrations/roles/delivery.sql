-- Who may do what with the tables of the schema `delivery`; see sales.sql. As there, a right is taken away one release after
-- the last statement that needs it: the version before still runs, and may come back.
SELECT pg_temp.prepare(role, 'delivery')
FROM unnest(ARRAY['delivery_service', 'sales_reader', 'sales_operator']) AS role;

-- delivery-service starts timers and moves them on. No shipment is ever forgotten.
GRANT SELECT, INSERT,
    UPDATE (state, next_step_at, refused_step_at, refusal, lease_token, lease_until, shipped_at, delivered_at)
    ON delivery.shipments TO delivery_service;
SELECT pg_temp.let_see_transactions('delivery_service');

-- For people: `salesctl verify` and `shipments dead-letters`; operators put steps back that Kafka refused.
GRANT SELECT ON delivery.shipments TO sales_reader, sales_operator;
GRANT UPDATE (next_step_at, refused_step_at, refusal) ON delivery.shipments TO sales_operator;
