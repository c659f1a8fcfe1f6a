-- A step that Kafka can never accept is a dead letter: it is not due any more, and keeps its time for when it is put back.
ALTER TABLE delivery.shipments ADD COLUMN refused_step_at timestamptz, ADD COLUMN refusal text;

ALTER TABLE delivery.shipments DROP CONSTRAINT shipments_check;
ALTER TABLE delivery.shipments ADD CONSTRAINT shipments_next_step_check
    CHECK ((COALESCE(next_step_at, refused_step_at) IS NULL) = (state = 'Delivered')
           AND (next_step_at IS NULL OR refused_step_at IS NULL)
           AND (refused_step_at IS NULL) = (refusal IS NULL)) NOT VALID;
