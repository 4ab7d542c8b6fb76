-- Requests that carried a key, and what they were answered: asked again, they are answered the same. A row is
-- part of the transaction that made the change, so that there is never one without the other.
CREATE TABLE idempotency_keys (
    route text NOT NULL,
    key text NOT NULL,
    -- What was asked: another body under the same key is another request.
    body_hash bytea NOT NULL,
    status integer NOT NULL,
    -- Headers and body, sealed: an answer may hold a secret that is shown once.
    answer bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (route, key)
);
CREATE INDEX idempotency_keys_created_at_idx ON idempotency_keys (created_at);
