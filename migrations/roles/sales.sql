-- The rights on the tables of the schema `sales`: one group role per service, with only the rights
-- that its statements need. A login role becomes a member: CREATE ROLE api LOGIN IN ROLE sales_api,
-- then \password api in psql.
--
-- `salesctl migrate --roles` runs this after the migrations, in one transaction, as the owner of
-- the tables. The owner needs CREATEROLE while a role is missing. The script can run again at any
-- time; it revokes every right that is not granted here. No role has rights on a new table until it
-- is added here.
--
-- The script runs while the services of the previous version still run, and a rollback can bring
-- them back. So a right is revoked here one release after the last statement that needs it.
SELECT pg_temp.prepare(role, 'sales')
FROM unnest(ARRAY['sales_api', 'outbox_relay', 'status_consumer', 'sales_reader', 'sales_operator', 'sales_console']) AS role;

-- sales-api inserts and reads orders, and requests to cancel them. Of events, it can read only the
-- ids.
GRANT SELECT, INSERT ON sales.orders, sales.order_items, sales.order_status_history, sales.order_cancellations TO sales_api;
GRANT INSERT, SELECT (event_id, aggregate_id) ON sales.outbox_events TO sales_api;
GRANT INSERT, SELECT (id), UPDATE (outcome, finished_at) ON sales.operator_actions TO sales_api;
GRANT SELECT ON SEQUENCE sales.order_status_history_position_seq TO sales_api; -- where the next change will be

-- outbox-relay publishes the outbox, reads it for its metrics, and inserts announcements of dead
-- letters. It has no rights on orders.
GRANT SELECT, INSERT, DELETE, UPDATE (attempts, next_attempt_at, last_error) ON sales.outbox_events TO outbox_relay;
GRANT SELECT ON SEQUENCE sales.outbox_events_seq_seq TO outbox_relay; -- where the next event will be
GRANT SELECT, UPDATE (owner, token, lease_until, lease_ms, scan_start) ON sales.outbox_shards TO outbox_relay;
GRANT SELECT, INSERT, DELETE, UPDATE (lease_until, lease_ms) ON sales.outbox_relays TO outbox_relay;
GRANT INSERT, SELECT (redriven_at, discarded_at) ON sales.outbox_dead_letters TO outbox_relay; -- to count those that wait

SELECT pg_temp.let_see_transactions('outbox_relay');

-- status-consumer updates the status of orders. It cannot read their owners and items.
GRANT SELECT (id, status), UPDATE (status) ON sales.orders TO status_consumer;
GRANT INSERT, SELECT (order_id, sequence, event_id) ON sales.order_status_history TO status_consumer;
GRANT SELECT (order_id, refused_at), UPDATE (refusal, refused_at) ON sales.order_cancellations TO status_consumer;
-- Only its previous version uses the inbox: the next release drops the table.
GRANT SELECT, INSERT, DELETE, UPDATE (received_at) ON sales.inbox TO status_consumer;

-- For `salesctl verify`, `salesctl outbox status` and `salesctl outbox dead-letters`, and for the pages
-- of the console.
GRANT SELECT ON sales.orders, sales.order_items, sales.order_status_history, sales.order_cancellations,
    sales.outbox_events, sales.outbox_shards, sales.outbox_relays, sales.outbox_dead_letters, sales.operator_actions
    TO sales_reader, sales_operator, sales_console;

-- For `salesctl outbox redrive`, `salesctl outbox discard` and `salesctl repair`, and for the same in
-- the console.
GRANT UPDATE (redriven_at, redrive_count, discarded_at, discard_reason) ON sales.outbox_dead_letters TO sales_operator, sales_console;
GRANT INSERT ON sales.outbox_events TO sales_operator, sales_console;

-- For the record of these actions, their progress, and the requests to stop them.
GRANT INSERT, UPDATE (outcome, finished_at, done, total, reported_at, stop_requested_by, result)
    ON sales.operator_actions TO sales_operator, sales_console;
