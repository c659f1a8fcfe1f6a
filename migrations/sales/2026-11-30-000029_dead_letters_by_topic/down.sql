DROP INDEX sales.outbox_dead_letters_by_topic;
