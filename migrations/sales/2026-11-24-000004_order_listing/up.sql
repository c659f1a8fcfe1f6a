-- Lists of orders, newest first. Ids are UUIDs of version 7 and sort by age, so an index that ends with the id gives
-- the order of a page, and the primary key does where nothing is filtered. Neither index holds the status: a change of
-- it touches no index (HOT).
CREATE INDEX orders_by_owner ON sales.orders (owner, id);
CREATE INDEX orders_by_customer ON sales.orders (customer_id, id);
