-- What both schemas do first with each of their roles: make it where it is missing, and take back all that it may do in the
-- schema. The function is gone with the connection.
CREATE FUNCTION pg_temp.prepare(role text, in_schema text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL; -- Somebody who prepares another database of this server was faster.
        END;
    END IF;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), role);
    EXECUTE format('REVOKE ALL ON SCHEMA %I FROM %I', in_schema, role);
    EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM %I', in_schema, role);
    EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA %I FROM %I', in_schema, role);
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', in_schema, role);
END
$$;

-- A service tells of transactions that are held open in its database, those of other roles included. Who may not grant this
-- leaves it to somebody who may.
CREATE FUNCTION pg_temp.let_see_transactions(role text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('GRANT pg_read_all_stats TO %I', role);
EXCEPTION WHEN insufficient_privilege THEN
    RAISE NOTICE 'pg_read_all_stats is not granted to %: it sees no transactions of other roles', role;
END
$$;
