-- A request to cancel the order. The holder of the shard decides: before the order is shipped, it accepts the request and
-- reports that the order is cancelled, instead of shipped; afterwards it refuses the request. While the refusal is reported,
-- resume_at is the time of the step that follows.
ALTER TABLE delivery.shipments
    ADD COLUMN cancellation text,
    ADD COLUMN cancellation_requested_at timestamptz,
    ADD COLUMN cancellation_correlation_id text,
    ADD COLUMN cancellation_traceparent text,
    ADD COLUMN cancellation_tracestate text,
    ADD COLUMN cancellation_refused_at timestamptz,
    ADD COLUMN resume_at timestamptz,
    ADD COLUMN cancelled_at timestamptz;

ALTER TABLE delivery.shipments
    ADD CONSTRAINT shipments_cancellation_check
        CHECK (cancellation IN ('requested', 'accepted', 'refusing', 'refused')) NOT VALID,
    DROP CONSTRAINT shipments_state_check,
    ADD CONSTRAINT shipments_state_check CHECK (state IN ('Pending Shipment', 'Shipped', 'Delivered', 'Cancelled')) NOT VALID,
    DROP CONSTRAINT shipments_next_step_check,
    ADD CONSTRAINT shipments_next_step_check
        CHECK ((COALESCE(next_step_at, refused_step_at) IS NULL)
                   = (state IN ('Delivered', 'Cancelled') AND cancellation IS DISTINCT FROM 'refusing')
               AND (next_step_at IS NULL OR refused_step_at IS NULL)
               AND (refused_step_at IS NULL) = (refusal IS NULL)) NOT VALID;

-- Steps that were due before may have been published by a holder of the shard whose lease had not ended by the clock, because
-- the clock was set back.
ALTER TABLE delivery.shards ADD COLUMN claimed_until timestamptz NOT NULL DEFAULT '-infinity';
