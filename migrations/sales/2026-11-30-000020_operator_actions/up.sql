-- What operators have done, over the API and with salesctl. An action without an outcome is running, or was interrupted.
CREATE TABLE sales.operator_actions (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subject     text        NOT NULL,
    action      text        NOT NULL,
    parameters  json        NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT now(),
    outcome     text,
    finished_at timestamptz,
    CHECK ((outcome IS NULL) = (finished_at IS NULL))
);
