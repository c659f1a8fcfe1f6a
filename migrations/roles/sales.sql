-- Who may do what with the tables of the schema `sales`: a group role for each service, with just the rights that its
-- statements need. A login becomes a member: CREATE ROLE api LOGIN IN ROLE sales_api, and then \password api in psql.
--
-- `salesctl migrate --roles` runs this after the migrations, in one transaction, as the owner of the tables, who needs
-- CREATEROLE as long as a role is missing. It can be run again at any time: what is not granted here is taken away.
-- A new table gives nobody anything until it stands here too.
--
-- It runs while the services are still those of the version before, which may come back. So a right is taken away here one
-- release after the last statement that needs it.
SELECT pg_temp.prepare(role, 'sales')
FROM unnest(ARRAY['sales_api', 'outbox_relay', 'status_consumer', 'sales_reader', 'sales_operator']) AS role;

-- sales-api takes orders and shows them. Of events it only knows that it has written them.
GRANT SELECT, INSERT ON sales.orders, sales.order_items, sales.order_status_history TO sales_api;
GRANT INSERT, SELECT (event_id, aggregate_id) ON sales.outbox_events TO sales_api;

-- outbox-relay owns the outbox, looks after it for its metrics, and writes announcements of dead letters into it. Orders are none of its business.
GRANT SELECT, INSERT, DELETE, UPDATE (attempts, next_attempt_at, last_error) ON sales.outbox_events TO outbox_relay;
GRANT SELECT, UPDATE (owner, token, lease_until, lease_ms) ON sales.outbox_shards TO outbox_relay;
GRANT SELECT, INSERT, DELETE, UPDATE (lease_until, lease_ms) ON sales.outbox_relays TO outbox_relay;
GRANT INSERT, SELECT (redriven_at) ON sales.outbox_dead_letters TO outbox_relay; -- to count those that wait

SELECT pg_temp.let_see_transactions('outbox_relay');

-- status-consumer moves orders, and sees neither whose they are nor what is in them. Rows of the inbox are never
-- changed; without the right to, they could not be locked.
GRANT SELECT (id, status), UPDATE (status) ON sales.orders TO status_consumer;
GRANT INSERT, SELECT (event_id) ON sales.order_status_history TO status_consumer;
GRANT SELECT, INSERT, DELETE, UPDATE (received_at) ON sales.inbox TO status_consumer;

-- For people: `salesctl verify`, `outbox status` and `outbox dead-letters`.
GRANT SELECT ON sales.orders, sales.order_items, sales.order_status_history, sales.outbox_events, sales.outbox_shards,
    sales.outbox_relays, sales.outbox_dead_letters, sales.inbox TO sales_reader, sales_operator;

-- `salesctl outbox redrive`, and `salesctl repair`.
GRANT UPDATE (redriven_at, redrive_count) ON sales.outbox_dead_letters TO sales_operator;
GRANT INSERT ON sales.outbox_events TO sales_operator;
