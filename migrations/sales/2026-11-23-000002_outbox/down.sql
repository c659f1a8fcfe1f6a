DROP TABLE sales.outbox_dead_letters, sales.outbox_relays, sales.outbox_shards, sales.outbox_events;
