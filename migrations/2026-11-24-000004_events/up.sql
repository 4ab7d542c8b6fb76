-- The least id that can have been made at that moment: where a day begins among ids.
CREATE FUNCTION uuid_v7_floor(at timestamptz) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN encode(
    overlay(
        '\x00000000000070008000000000000000'::bytea
        PLACING substring(int8send(floor(extract(epoch FROM at) * 1000)::bigint) FROM 3)
        FROM 1 FOR 6
    ),
    'hex'
)::uuid;

-- Both tables are cut by days along their ids, which carry the time they were made at: a row is found by
-- its id alone, and a day that is over its time is dropped as a whole. What comes on a day that nobody has
-- prepared lands in the default partition, and moves when that day is made.
CREATE TABLE events (
    id uuid NOT NULL,
    event_type text NOT NULL,
    -- Text as it came, not jsonb: what is sent is the same to the byte on every attempt.
    payload json NOT NULL,
    -- The webhook that the event tells of, which does not hear of it itself.
    about uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT events_pkey PRIMARY KEY (id)
) PARTITION BY RANGE (id);
CREATE TABLE events_default PARTITION OF events DEFAULT;

-- One row an attempt.
CREATE TABLE webhook_logs (
    id uuid NOT NULL,
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
    created_at timestamptz NOT NULL DEFAULT now()
) PARTITION BY RANGE (id);
CREATE INDEX webhook_logs_webhook_id_idx ON webhook_logs (webhook_id, id);
CREATE INDEX webhook_logs_delivery_id_idx ON webhook_logs (delivery_id);
CREATE INDEX webhook_logs_event_id_idx ON webhook_logs (event_id);
CREATE TABLE webhook_logs_default PARTITION OF webhook_logs DEFAULT;

-- Makes a day's partition, unless it is there; says whether it did. Of a day of which more rows than that have come
-- already no partition is made: to move them would hold everybody up. They stay where they are until their time is over.
CREATE FUNCTION partition_add(parent text, day date, moves_at_most integer DEFAULT 50000) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    early bigint;
    name text := parent || '_' || to_char(day, 'YYYYMMDD');
    least uuid := uuid_v7_floor(day::timestamp AT TIME ZONE 'UTC');
    most uuid := uuid_v7_floor((day + 1)::timestamp AT TIME ZONE 'UTC');
BEGIN
    IF to_regclass(quote_ident(name)) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format(
        'SELECT count(*) FROM (SELECT FROM %I WHERE id >= $1 AND id < $2 LIMIT $3::bigint + 1) AS early', parent || '_default'
    ) INTO early USING least, most, moves_at_most;
    IF early > moves_at_most THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', name, parent);
    -- Nobody may bring anything for that day between its move and its attachment.
    EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', parent || '_default');
    EXECUTE format(
        'WITH early AS (DELETE FROM %I WHERE id >= $1 AND id < $2 RETURNING *) INSERT INTO %I SELECT * FROM early',
        parent || '_default', name
    ) USING least, most;
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, name, least, most);
    RETURN true;
END
$$;

-- Drops the partitions of days before that one; says how many.
CREATE FUNCTION partition_drop_before(parent text, day date) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    old text;
    dropped integer := 0;
BEGIN
    FOR old IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = to_regclass(quote_ident(parent)) AND c.relname ~ ('^' || parent || '_[0-9]{8}$')
          AND right(c.relname, 8) < to_char(day, 'YYYYMMDD')
        ORDER BY c.relname
    LOOP
        EXECUTE format('DROP TABLE %I', old);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END
$$;

-- Removes rows of days before that one that never had a partition, at most so many; says how many.
CREATE FUNCTION partition_sweep(parent text, day date, at_most integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    swept integer;
BEGIN
    EXECUTE format(
        'DELETE FROM %1$I WHERE id IN (SELECT id FROM %1$I WHERE id < $1 ORDER BY id LIMIT $2)', parent || '_default'
    ) USING uuid_v7_floor(day::timestamp AT TIME ZONE 'UTC'), at_most;
    GET DIAGNOSTICS swept = ROW_COUNT;
    RETURN swept;
END
$$;

-- The first days; the servers make those that follow.
SELECT partition_add(parent, (now() AT TIME ZONE 'UTC')::date + ahead)
FROM unnest(ARRAY['events', 'webhook_logs']) AS parent, generate_series(-1, 7) AS ahead;
