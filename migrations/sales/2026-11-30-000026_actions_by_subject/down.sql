DROP INDEX sales.operator_actions_by_subject;
