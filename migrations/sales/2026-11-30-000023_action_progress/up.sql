-- A long action reports here every second how far it is, and reads whether an operator has asked to stop it. request_id makes
-- the start idempotent. Of the actions with the same target, one at a time runs. An action that has not reported for ten
-- seconds was interrupted.
ALTER TABLE sales.operator_actions
    ADD COLUMN request_id uuid,
    ADD COLUMN target text,
    ADD COLUMN done bigint,
    ADD COLUMN total bigint,
    ADD COLUMN reported_at timestamptz,
    ADD COLUMN stop_requested_by text,
    ADD COLUMN result json;
