DROP TABLE delivery.shipments;
