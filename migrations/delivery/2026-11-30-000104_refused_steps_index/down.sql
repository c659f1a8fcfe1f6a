DROP INDEX delivery.shipments_refused;
