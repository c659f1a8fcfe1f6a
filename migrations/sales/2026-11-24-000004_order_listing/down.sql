DROP INDEX sales.orders_by_customer, sales.orders_by_owner;
