DROP INDEX sales.order_changes;
