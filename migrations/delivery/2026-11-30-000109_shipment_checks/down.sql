-- A check that holds cannot be taken to be unknown again.
SELECT 1;
