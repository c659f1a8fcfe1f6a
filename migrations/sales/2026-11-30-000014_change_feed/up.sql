-- The position of a change in the feed. Changes from before this migration have the position 0 and are not in it. An identity
-- column cannot be added without a rewrite of the table, but a column can become one.
ALTER TABLE sales.order_status_history ADD COLUMN position bigint NOT NULL DEFAULT 0;
ALTER TABLE sales.order_status_history
    ALTER COLUMN position DROP DEFAULT,
    ALTER COLUMN position ADD GENERATED ALWAYS AS IDENTITY;
