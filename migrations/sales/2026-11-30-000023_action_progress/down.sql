ALTER TABLE sales.operator_actions
    DROP COLUMN request_id, DROP COLUMN target, DROP COLUMN done, DROP COLUMN total, DROP COLUMN reported_at,
    DROP COLUMN stop_requested_by, DROP COLUMN result;
