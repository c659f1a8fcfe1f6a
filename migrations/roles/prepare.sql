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
