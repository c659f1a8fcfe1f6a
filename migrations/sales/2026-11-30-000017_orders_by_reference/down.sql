DROP INDEX sales.orders_by_reference;
