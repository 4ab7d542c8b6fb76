CREATE TABLE webhooks (
    id uuid NOT NULL,
    webhook_type text NOT NULL,
    name text NOT NULL DEFAULT '',
    -- The whole address with its tokens, keys and headers, sealed: a chat's webhook URL is a credential.
    url bytea NOT NULL,
    -- What people may see of it: the address, and further details.
    destination text NOT NULL,
    details jsonb NOT NULL DEFAULT '{}',
    enabled boolean NOT NULL DEFAULT true,
    -- Why it is off, and since when; nothing when it is on.
    disabled_reason text,
    disabled_at timestamptz,
    events jsonb NOT NULL DEFAULT '[]',
    metadata jsonb NOT NULL DEFAULT '{}',
    policy jsonb NOT NULL DEFAULT '{}',
    locale text NOT NULL DEFAULT 'ru',
    version integer NOT NULL DEFAULT 1,
    -- The directory's version at the last change.
    revision bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT webhooks_pkey PRIMARY KEY (id),
    CONSTRAINT webhooks_webhook_type_check CHECK (webhook_type IN ('slack', 'discord', 'telegram', 'custom')),
    CONSTRAINT webhooks_locale_check CHECK (locale IN ('ru', 'en')),
    CONSTRAINT webhooks_events_check CHECK (jsonb_typeof(events) = 'array'),
    CONSTRAINT webhooks_metadata_check CHECK (jsonb_typeof(metadata) = 'object'),
    CONSTRAINT webhooks_policy_check CHECK (jsonb_typeof(policy) = 'object')
);
CREATE INDEX webhooks_revision_idx ON webhooks (revision);

-- Servers keep the webhooks in memory. Every change moves this version on, and the row it takes to do so
-- makes changes wait for each other, so that the versions are in the order of the commits. An event is
-- stored only while the version is the one by which its listeners were chosen.
CREATE TABLE directory (
    version bigint NOT NULL
);
INSERT INTO directory (version) VALUES (0);

-- Webhooks that are no more, until every server has heard of it.
CREATE TABLE webhook_tombstones (
    webhook_id uuid NOT NULL,
    revision bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT webhook_tombstones_pkey PRIMARY KEY (webhook_id)
);

-- How a webhook is doing. Beside it and not in it, because it changes with the traffic.
CREATE TABLE webhook_health (
    webhook_id uuid NOT NULL,
    -- The receiver asked us to wait until then (Retry-After).
    held_until timestamptz,
    breaker text NOT NULL DEFAULT 'closed',
    -- An open breaker lets nobody through until then.
    breaker_until timestamptz,
    -- How often it has opened since it was last closed.
    trips integer NOT NULL DEFAULT 0,
    -- Probes that came through since it is half open, and until when the one under way is waited for.
    probes integer NOT NULL DEFAULT 0,
    probe_until timestamptz,
    -- The first failure after the last success, and how many there have been since.
    failing_since timestamptz,
    failures integer NOT NULL DEFAULT 0,
    last_error text,
    last_failure_at timestamptz,
    -- What others were told: 0 nothing, 1 that it fails, then how much of its time is over, in percent; 100 that it
    -- was switched off, -1 that it failed or was off before a person saw to it.
    told integer NOT NULL DEFAULT 0,
    -- When the next message is allowed by the rate limit (the theoretical arrival time of GCRA).
    rate_tat timestamptz,
    -- Since when what waits is being given its place in the order that the webhook wants now. Nothing is sent meanwhile.
    placing_since timestamptz,
    -- The places that are kept for what came before the order did begin here, and the next one is this. All that
    -- comes after it gets a later one.
    first_place bigint,
    next_place bigint,
    CONSTRAINT webhook_health_pkey PRIMARY KEY (webhook_id),
    CONSTRAINT webhook_health_webhook_id_fkey FOREIGN KEY (webhook_id) REFERENCES webhooks (id) ON DELETE CASCADE,
    CONSTRAINT webhook_health_breaker_check CHECK (breaker IN ('closed', 'open', 'half_open'))
) WITH (fillfactor = 50);
CREATE INDEX webhook_health_told_idx ON webhook_health (webhook_id)
WHERE failing_since IS NOT NULL OR told <> 0 OR breaker <> 'closed';
CREATE INDEX webhook_health_placing_idx ON webhook_health (webhook_id) WHERE placing_since IS NOT NULL;

CREATE FUNCTION webhook_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    moved_to bigint;
BEGIN
    UPDATE directory SET version = version + 1 RETURNING version INTO moved_to;
    IF TG_OP = 'DELETE' THEN
        INSERT INTO webhook_tombstones (webhook_id, revision) VALUES (OLD.id, moved_to);
        RETURN OLD;
    END IF;
    NEW.revision := moved_to;
    IF NEW.enabled THEN
        NEW.disabled_reason := NULL;
        NEW.disabled_at := NULL;
    ELSE
        NEW.disabled_reason := coalesce(NEW.disabled_reason, 'switched_off');
        NEW.disabled_at := coalesce(NEW.disabled_at, now());
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER webhooks_changed BEFORE INSERT OR UPDATE OR DELETE ON webhooks
FOR EACH ROW EXECUTE FUNCTION webhook_changed();

CREATE FUNCTION webhook_registered() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO webhook_health (webhook_id) VALUES (NEW.id);
    RETURN NULL;
END
$$;
CREATE TRIGGER webhooks_registered AFTER INSERT ON webhooks
FOR EACH ROW EXECUTE FUNCTION webhook_registered();

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
