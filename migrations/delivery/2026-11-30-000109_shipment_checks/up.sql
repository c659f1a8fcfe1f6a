-- Looks at every shipment, and holds up none.
ALTER TABLE delivery.shipments
    VALIDATE CONSTRAINT shipments_cancellation_check,
    VALIDATE CONSTRAINT shipments_state_check,
    VALIDATE CONSTRAINT shipments_next_step_check;
