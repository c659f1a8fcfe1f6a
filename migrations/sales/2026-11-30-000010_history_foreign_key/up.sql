-- Each statement that adds to the history inserts or updates the row of the order itself, and adds only what belongs to the
-- rows that it returned. The check would look up and lock each of these rows again.
ALTER TABLE sales.order_status_history DROP CONSTRAINT IF EXISTS order_status_history_order_id_fkey;
