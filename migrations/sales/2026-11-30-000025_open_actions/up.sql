-- The actions without an outcome. Only a few: those that run, and those that were interrupted.
CREATE INDEX CONCURRENTLY IF NOT EXISTS operator_actions_open ON sales.operator_actions (id) WHERE finished_at IS NULL;
