ALTER TABLE delivery.shipments VALIDATE CONSTRAINT shipments_next_step_check;
