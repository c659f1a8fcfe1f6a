-- Who may do what with the tables of the schema `delivery`; see sales.sql.
DO $$
DECLARE
    role text;
    roles text[] := ARRAY['delivery_service', 'sales_reader', 'sales_operator'];
BEGIN
    FOREACH role IN ARRAY roles LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL; -- Somebody who prepares another database of this server was faster.
            END;
        END IF;
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), role);
        EXECUTE format('REVOKE ALL ON SCHEMA delivery FROM %I', role);
        EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA delivery FROM %I', role);
        EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA delivery FROM %I', role);
        EXECUTE format('GRANT USAGE ON SCHEMA delivery TO %I', role);
    END LOOP;
END
$$;

-- delivery-service starts timers and moves them on. No shipment is ever forgotten.
GRANT SELECT, INSERT, UPDATE (state, next_step_at, lease_token, lease_until, shipped_at, delivered_at)
    ON delivery.shipments TO delivery_service;

-- For people: `salesctl verify`.
GRANT SELECT ON delivery.shipments TO sales_reader, sales_operator;
