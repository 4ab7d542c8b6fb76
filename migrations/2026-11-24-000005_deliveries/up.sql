-- Processes that hold leases. Each keeps an advisory lock on its id as long as it lives; whoever can take
-- the lock of another knows that it is dead, and hands its leases back at once.
CREATE TABLE holders (
    id integer NOT NULL GENERATED ALWAYS AS IDENTITY,
    started_at timestamptz NOT NULL DEFAULT now(),
    -- When its lock was first found free.
    lost_at timestamptz,
    CONSTRAINT holders_pkey PRIMARY KEY (id)
);

-- The order of deliveries to webhooks that want one.
CREATE SEQUENCE delivery_order AS bigint;

-- Hot and narrow: a row lives from the event to its delivery. Success deletes it.
-- A lease is a due_at in the future plus a token that nobody else has: whoever crashes with it loses it by
-- itself, and what he still reports afterwards finds another token and is refused. The upper bits of a
-- token are its holder's id.
CREATE TABLE deliveries (
    id uuid NOT NULL,
    event_id uuid NOT NULL,
    webhook_id uuid NOT NULL,
    due_at timestamptz NOT NULL,
    lease_token bigint,
    -- Its place in the order, where the webhook wants one.
    place bigint,
    attempt smallint NOT NULL DEFAULT 0,
    -- 0 what comes for the first time, 1 retries and replays, which take what the others leave.
    tier smallint NOT NULL DEFAULT 0,
    -- Why it waits until due_at, when it was tried before.
    waits_for text,
    CONSTRAINT deliveries_pkey PRIMARY KEY (id)
) WITH (
    fillfactor = 80,
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0
);
CREATE INDEX deliveries_lane_idx ON deliveries (webhook_id, tier, due_at);
-- What comes for the first time is found by its id, which is made together with its event's.
CREATE INDEX deliveries_event_id_idx ON deliveries (event_id) WHERE tier = 1;
CREATE INDEX deliveries_order_idx ON deliveries (webhook_id, place) WHERE place IS NOT NULL;

-- Deliveries that ended without success, and why.
CREATE TABLE dead_letters (
    delivery_id uuid NOT NULL,
    event_id uuid NOT NULL,
    webhook_id uuid NOT NULL,
    attempts integer NOT NULL,
    state text NOT NULL,
    reason text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT dead_letters_pkey PRIMARY KEY (delivery_id),
    CONSTRAINT dead_letters_state_check CHECK (state IN ('dead', 'cancelled', 'skipped', 'expired'))
);
CREATE INDEX dead_letters_webhook_id_idx ON dead_letters (webhook_id, delivery_id);
CREATE INDEX dead_letters_event_id_idx ON dead_letters (event_id);
CREATE INDEX dead_letters_created_at_idx ON dead_letters (created_at);

-- Past events sent to a webhook again, a few at a time.
CREATE TABLE replays (
    id uuid NOT NULL,
    webhook_id uuid NOT NULL,
    since timestamptz NOT NULL,
    until timestamptz NOT NULL,
    events jsonb NOT NULL DEFAULT '[]',
    -- Also what was delivered already, and what a person took back.
    everything boolean NOT NULL DEFAULT false,
    per_second integer NOT NULL,
    state text NOT NULL DEFAULT 'running',
    -- The last event that was looked at.
    position uuid NOT NULL,
    looked_at bigint NOT NULL DEFAULT 0,
    enqueued bigint NOT NULL DEFAULT 0,
    next_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    CONSTRAINT replays_pkey PRIMARY KEY (id),
    CONSTRAINT replays_webhook_id_fkey FOREIGN KEY (webhook_id) REFERENCES webhooks (id) ON DELETE CASCADE,
    CONSTRAINT replays_state_check CHECK (state IN ('running', 'done', 'cancelled'))
);
CREATE INDEX replays_running_idx ON replays (next_at) WHERE state = 'running';

-- For programs that share the database: tells an event within the caller's own transaction. It is
-- delivered if and only if that transaction commits. Returns the event's id.
CREATE FUNCTION kos_emit(event_type text, payload jsonb DEFAULT '{}') RETURNS uuid
LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $$
DECLARE
    told uuid := uuid_v7();
BEGIN
    IF event_type IS NULL OR event_type !~ '^[a-z][a-z0-9_]{0,63}$' THEN
        RAISE EXCEPTION 'kos_emit: event_type % is no event name', coalesce(quote_literal(event_type), 'NULL')
        USING HINT = 'use 1 to 64 of a-z, 0-9 and _, starting with a letter', ERRCODE = 'invalid_parameter_value';
    END IF;
    IF event_type IN ('webhook_failing', 'webhook_disabled', 'webhook_recovered', 'daily_report', 'weekly_report') THEN
        RAISE EXCEPTION 'kos_emit: % is told by the service itself', event_type
        USING HINT = 'use a name of your own', ERRCODE = 'invalid_parameter_value';
    END IF;
    IF payload IS NULL OR jsonb_typeof(payload) <> 'object' THEN
        RAISE EXCEPTION 'kos_emit: payload must be a JSON object'
        USING HINT = 'use jsonb_build_object(…)', ERRCODE = 'invalid_parameter_value';
    END IF;
    IF octet_length(payload::text) > 262144 THEN
        RAISE EXCEPTION 'kos_emit: payload has % bytes; at most 262144', octet_length(payload::text)
        USING HINT = 'send a link instead of the thing itself', ERRCODE = 'invalid_parameter_value';
    END IF;
    INSERT INTO events (id, event_type, payload) VALUES (told, kos_emit.event_type, payload::text::json);
    INSERT INTO deliveries (id, event_id, webhook_id, due_at, place)
    SELECT uuid_v7(), told, w.id, now(),
           CASE WHEN (w.policy ->> 'ordered')::boolean THEN nextval('delivery_order') END
    FROM webhooks w WHERE webhook_hears(w.events, kos_emit.event_type);
    RETURN told;
END
$$;
DO $$ BEGIN
    -- With the rights of its owner, so nobody else's tables may stand in for ours.
    EXECUTE format('ALTER FUNCTION kos_emit(text, jsonb) SET search_path = %I, pg_temp', current_schema());
END $$;
