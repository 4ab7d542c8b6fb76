CREATE TABLE webhooks (
    id uuid NOT NULL,
    webhook_type text NOT NULL,
    name text NOT NULL DEFAULT '',
    -- The whole address with its tokens and keys, sealed: a chat's webhook URL is a credential.
    url bytea NOT NULL,
    -- What people may see of it.
    destination text NOT NULL,
    enabled boolean NOT NULL DEFAULT true,
    events jsonb NOT NULL DEFAULT '[]',
    metadata jsonb NOT NULL DEFAULT '{}',
    locale text NOT NULL DEFAULT 'ru',
    -- Why the service itself switched it off; empty when a person did, or when it is on.
    disabled_reason text,
    -- The receiver asked us to wait until then (Retry-After).
    held_until timestamptz,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT webhooks_pkey PRIMARY KEY (id),
    CONSTRAINT webhooks_webhook_type_check CHECK (webhook_type IN ('slack', 'discord', 'telegram', 'custom')),
    CONSTRAINT webhooks_locale_check CHECK (locale IN ('ru', 'en')),
    CONSTRAINT webhooks_events_check CHECK (jsonb_typeof(events) = 'array'),
    CONSTRAINT webhooks_metadata_check CHECK (jsonb_typeof(metadata) = 'object')
);

-- Whether a webhook with these filters hears of the event: an empty list means every event,
-- `knowledge_*` a family. The same rule stands in kos-model; a test holds the two together.
CREATE FUNCTION webhook_hears(events jsonb, event_type text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN events = '[]'
    OR events ? event_type
    OR EXISTS (
        SELECT 1 FROM jsonb_array_elements_text(events) AS filter
        WHERE right(filter, 1) = '*' AND starts_with(event_type, left(filter, -1))
    );

CREATE TABLE events (
    id uuid NOT NULL,
    event_type text NOT NULL,
    payload jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT events_pkey PRIMARY KEY (id)
);

-- One row an attempt.
CREATE TABLE webhook_logs (
    id uuid NOT NULL DEFAULT uuid_v7(),
    webhook_id uuid NOT NULL,
    delivery_id uuid NOT NULL,
    event_id uuid NOT NULL,
    event_type text NOT NULL,
    attempt integer NOT NULL,
    outcome text NOT NULL,
    success boolean NOT NULL,
    status integer,
    response text,
    error text,
    duration_ms integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT webhook_logs_pkey PRIMARY KEY (id)
);
CREATE INDEX webhook_logs_webhook_id_idx ON webhook_logs (webhook_id, id DESC);
CREATE INDEX webhook_logs_created_at_idx ON webhook_logs USING brin (created_at);
