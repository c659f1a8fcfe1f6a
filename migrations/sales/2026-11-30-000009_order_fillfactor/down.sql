ALTER TABLE sales.orders SET (fillfactor = 85);
