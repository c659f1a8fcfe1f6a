ALTER TABLE delivery.shards DROP COLUMN claimed_until;
ALTER TABLE delivery.shipments
    DROP CONSTRAINT shipments_next_step_check,
    ADD CONSTRAINT shipments_next_step_check
        CHECK ((COALESCE(next_step_at, refused_step_at) IS NULL) = (state = 'Delivered')
               AND (next_step_at IS NULL OR refused_step_at IS NULL)
               AND (refused_step_at IS NULL) = (refusal IS NULL)) NOT VALID,
    DROP CONSTRAINT shipments_state_check,
    ADD CONSTRAINT shipments_state_check CHECK (state IN ('Pending Shipment', 'Shipped', 'Delivered')) NOT VALID;
ALTER TABLE delivery.shipments
    DROP COLUMN cancellation,
    DROP COLUMN cancellation_requested_at,
    DROP COLUMN cancellation_correlation_id,
    DROP COLUMN cancellation_traceparent,
    DROP COLUMN cancellation_tracestate,
    DROP COLUMN cancellation_refused_at,
    DROP COLUMN resume_at,
    DROP COLUMN cancelled_at;
