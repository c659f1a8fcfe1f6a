DROP INDEX delivery.shipments_to_cancel;
