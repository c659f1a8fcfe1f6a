-- Nothing to be undone: the constraint goes with the migration that added it.
SELECT 1;
