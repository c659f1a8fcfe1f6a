DROP TABLE sales.order_status_history, sales.order_items, sales.orders;
