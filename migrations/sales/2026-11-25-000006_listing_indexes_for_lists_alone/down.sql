DROP INDEX sales.orders_by_owner, sales.orders_by_customer;
CREATE INDEX orders_by_owner ON sales.orders (owner, id);
CREATE INDEX orders_by_customer ON sales.orders (customer_id, id);
