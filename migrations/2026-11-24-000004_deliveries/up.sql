-- A lease is a due_at in the future plus a token that nobody else holds: whoever crashes with it
-- loses it by itself, and what he still reports afterwards finds another token and is refused.
CREATE SEQUENCE lease_tokens AS bigint;

-- Hot and narrow: a row lives from the event to its delivery. Success deletes it.
CREATE TABLE deliveries (
    id uuid NOT NULL,
    event_id uuid NOT NULL,
    webhook_id uuid NOT NULL,
    due_at timestamptz NOT NULL,
    attempt integer NOT NULL DEFAULT 0,
    lease_token bigint,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT deliveries_pkey PRIMARY KEY (id),
    CONSTRAINT deliveries_webhook_id_fkey FOREIGN KEY (webhook_id) REFERENCES webhooks (id) ON DELETE CASCADE
) WITH (
    fillfactor = 80,
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0
);
CREATE INDEX deliveries_lane_idx ON deliveries (webhook_id, due_at);

-- What can no longer be delivered, and why.
CREATE TABLE dead_letters (
    delivery_id uuid NOT NULL,
    event_id uuid NOT NULL,
    webhook_id uuid NOT NULL,
    attempts integer NOT NULL,
    reason text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT dead_letters_pkey PRIMARY KEY (delivery_id),
    CONSTRAINT dead_letters_webhook_id_fkey FOREIGN KEY (webhook_id) REFERENCES webhooks (id) ON DELETE CASCADE
);
CREATE INDEX dead_letters_webhook_id_idx ON dead_letters (webhook_id, created_at);
