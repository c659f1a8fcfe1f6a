DROP INDEX sales.operator_actions_open;
