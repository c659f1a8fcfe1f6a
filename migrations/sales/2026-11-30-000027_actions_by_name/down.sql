DROP INDEX sales.operator_actions_by_name;
