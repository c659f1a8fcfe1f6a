-- Descending by an expression: a plan for an empty table must not look up an id here instead of in the primary key.
CREATE INDEX CONCURRENTLY IF NOT EXISTS operator_actions_by_subject ON sales.operator_actions (subject COLLATE "C", (-id));
