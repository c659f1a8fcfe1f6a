-- Lists of orders, newest first. Ids are UUIDs of version 7 and sort by age, so an index that ends with the id gives
-- the order of a page, and the primary key does where nothing is filtered. Neither index holds the status: a change of
-- it touches no index (HOT).
--
-- Postgres could go along such an index for an id alone, too. In a table that is empty, or nearly so, that costs the same
-- as the primary key, by its reckoning; and the plan of a foreign key's check is kept while the table fills, with a look at
-- every customer for each line of an order. So the indexes have a condition that always holds, and that only lists name.
--
-- No order is looked at here: that would hold up all of them. The next migrations do the rest beside the traffic.
ALTER TABLE sales.orders
    ADD CONSTRAINT orders_owner_check CHECK (owner <> '') NOT VALID,
    ADD CONSTRAINT orders_customer_id_check CHECK (customer_id <> '') NOT VALID;
