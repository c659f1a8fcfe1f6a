DROP INDEX sales.outbox_events_waiting;
