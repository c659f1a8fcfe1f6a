-- Whatever the order, the same rows are there.
SELECT 1;
