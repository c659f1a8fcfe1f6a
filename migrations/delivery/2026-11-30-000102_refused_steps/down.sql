-- They are tried again.
UPDATE delivery.shipments SET next_step_at = refused_step_at, refused_step_at = NULL, refusal = NULL
WHERE refused_step_at IS NOT NULL;
ALTER TABLE delivery.shipments DROP CONSTRAINT shipments_next_step_check;
ALTER TABLE delivery.shipments ADD CONSTRAINT shipments_check
    CHECK ((next_step_at IS NULL) = (state = 'Delivered'));
ALTER TABLE delivery.shipments DROP COLUMN refused_step_at, DROP COLUMN refusal;
