CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS operator_actions_request ON sales.operator_actions (request_id)
    WHERE request_id IS NOT NULL;
