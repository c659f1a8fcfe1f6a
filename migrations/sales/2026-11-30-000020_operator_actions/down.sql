DROP TABLE sales.operator_actions;
