DROP TABLE sales.inbox;
