-- Both schemas call this first for each of their roles: it creates the role if it is missing, and
-- revokes all rights of the role in the schema. The function is temporary; it exists only for this
-- connection.
CREATE FUNCTION pg_temp.prepare(role text, in_schema text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL; -- A concurrent run for another database of this server has created the role.
        END;
    END IF;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), role);
    EXECUTE format('REVOKE ALL ON SCHEMA %I FROM %I', in_schema, role);
    EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM %I', in_schema, role);
    EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA %I FROM %I', in_schema, role);
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', in_schema, role);
END
$$;

-- Lets a service measure open transactions of other roles in its database. Without the privilege to
-- grant this, the script continues; another role has to grant it.
CREATE FUNCTION pg_temp.let_see_transactions(role text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('GRANT pg_read_all_stats TO %I', role);
EXCEPTION WHEN insufficient_privilege THEN
    RAISE NOTICE 'pg_read_all_stats is not granted to %: it sees no transactions of other roles', role;
END
$$;
