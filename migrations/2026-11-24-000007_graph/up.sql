-- How pieces of knowledge bear on each other. A symmetric kind is stored once, from the smaller id to the
-- larger. A link that is removed stays as history, with the time until which it held.
CREATE TABLE knowledge_links (
    id uuid NOT NULL DEFAULT uuid_v7(),
    source_id uuid NOT NULL,
    target_id uuid NOT NULL,
    kind text NOT NULL,
    weight double precision NOT NULL DEFAULT 1,
    note text,
    origin text NOT NULL DEFAULT 'manual',
    metadata jsonb NOT NULL DEFAULT '{}',
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    valid_to timestamptz,
    -- How many of its ends were deleted: a link is in answers only while none was. Kept here, so that a walk
    -- need not look at what it leads to.
    gone_ends smallint NOT NULL DEFAULT 0,
    -- The transaction that last changed whether it is in answers, or how strong it is: who holds the links in
    -- memory asks for what happened since his snapshot.
    changed_in xid8 NOT NULL DEFAULT pg_current_xact_id(),
    CONSTRAINT knowledge_links_pkey PRIMARY KEY (id),
    CONSTRAINT knowledge_links_source_id_fkey FOREIGN KEY (source_id) REFERENCES knowledge (id) ON DELETE CASCADE,
    CONSTRAINT knowledge_links_target_id_fkey FOREIGN KEY (target_id) REFERENCES knowledge (id) ON DELETE CASCADE,
    CONSTRAINT knowledge_links_kind_check CHECK (
        kind IN ('related_to', 'contradicts', 'duplicate_of', 'depends_on', 'supports', 'part_of', 'derived_from',
                 'supersedes', 'answers', 'example_of')
    ),
    CONSTRAINT knowledge_links_ends_check CHECK (source_id <> target_id),
    CONSTRAINT knowledge_links_symmetric_check CHECK (
        kind NOT IN ('related_to', 'contradicts', 'duplicate_of') OR source_id < target_id
    ),
    CONSTRAINT knowledge_links_gone_ends_check CHECK (gone_ends BETWEEN 0 AND 2),
    CONSTRAINT knowledge_links_weight_check CHECK (weight BETWEEN 0 AND 1),
    CONSTRAINT knowledge_links_origin_check CHECK (origin IN ('manual', 'suggested')),
    CONSTRAINT knowledge_links_metadata_check CHECK (jsonb_typeof(metadata) = 'object')
);
CREATE UNIQUE INDEX knowledge_links_live_key ON knowledge_links (source_id, target_id, kind) WHERE valid_to IS NULL;
-- A walk reads these alone: the links of a node, the strongest first.
CREATE INDEX knowledge_links_out_idx ON knowledge_links (source_id, weight DESC, id) INCLUDE (target_id, kind)
WHERE valid_to IS NULL AND gone_ends = 0;
CREATE INDEX knowledge_links_in_idx ON knowledge_links (target_id, weight DESC, id) INCLUDE (source_id, kind)
WHERE valid_to IS NULL AND gone_ends = 0;
-- Lists, with what is past, in the order in which they were made.
CREATE INDEX knowledge_links_source_id_idx ON knowledge_links (source_id, id);
CREATE INDEX knowledge_links_target_id_idx ON knowledge_links (target_id, id);
CREATE INDEX knowledge_links_changed_in_idx ON knowledge_links (changed_in);

-- Links that are gone without a trace, with an item that was purged; until everybody can know of it.
CREATE TABLE link_removals (
    id uuid NOT NULL,
    source_id uuid NOT NULL,
    target_id uuid NOT NULL,
    changed_in xid8 NOT NULL DEFAULT pg_current_xact_id()
);
CREATE INDEX link_removals_changed_in_idx ON link_removals (changed_in);

-- Holds both ends, lest one is deleted or restored meanwhile without this link (see knowledge_gone), and then looks: what
-- is locked so lightly is seen as it was before the wait. A transaction that sees all as it was at its beginning must fail
-- instead.
CREATE FUNCTION link_gone_ends(one uuid, other uuid) RETURNS smallint LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('transaction_isolation') = 'read committed' THEN
        PERFORM FROM knowledge WHERE id IN (one, other) ORDER BY id FOR KEY SHARE;
    ELSE
        PERFORM FROM knowledge WHERE id IN (one, other) ORDER BY id FOR SHARE;
    END IF;
    RETURN (SELECT count(deleted_at) FROM knowledge WHERE id IN (one, other));
END
$$;

-- Whatever a row brings with it: it may come from a copy of the table.
CREATE FUNCTION link_born() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.changed_in := pg_current_xact_id();
    NEW.gone_ends := link_gone_ends(NEW.source_id, NEW.target_id);
    RETURN NEW;
END
$$;
CREATE TRIGGER link_born BEFORE INSERT ON knowledge_links FOR EACH ROW EXECUTE FUNCTION link_born();

CREATE FUNCTION link_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.changed_in := pg_current_xact_id();
    IF (OLD.id, OLD.source_id, OLD.target_id) <> (NEW.id, NEW.source_id, NEW.target_id) THEN
        INSERT INTO link_removals (id, source_id, target_id) VALUES (OLD.id, OLD.source_id, OLD.target_id);
    END IF;
    IF (OLD.source_id, OLD.target_id) <> (NEW.source_id, NEW.target_id) THEN
        NEW.gone_ends := link_gone_ends(NEW.source_id, NEW.target_id);
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER link_changed BEFORE UPDATE ON knowledge_links FOR EACH ROW
WHEN ((OLD.id, OLD.source_id, OLD.target_id, OLD.kind, OLD.weight, OLD.gone_ends, OLD.valid_to IS NULL)
    IS DISTINCT FROM (NEW.id, NEW.source_id, NEW.target_id, NEW.kind, NEW.weight, NEW.gone_ends, NEW.valid_to IS NULL))
EXECUTE FUNCTION link_changed();

CREATE FUNCTION link_removed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO link_removals (id, source_id, target_id) SELECT id, source_id, target_id FROM removed;
    RETURN NULL;
END
$$;
CREATE TRIGGER link_removed AFTER DELETE ON knowledge_links REFERENCING OLD TABLE AS removed
FOR EACH STATEMENT EXECUTE FUNCTION link_removed();

-- Items of which people see something else than before, or nothing any more; no item where it may be all of them, since a
-- domain has another name.
CREATE TABLE label_changes (
    item_id uuid,
    changed_in xid8 NOT NULL DEFAULT pg_current_xact_id()
);
CREATE INDEX label_changes_changed_in_idx ON label_changes (changed_in);

CREATE FUNCTION label_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO label_changes (item_id) VALUES (OLD.id);
    RETURN NULL;
END
$$;
CREATE TRIGGER label_changed AFTER UPDATE ON knowledge FOR EACH ROW
WHEN ((OLD.id, OLD.title, OLD.domain_id, OLD.deleted_at IS NULL)
    IS DISTINCT FROM (NEW.id, NEW.title, NEW.domain_id, NEW.deleted_at IS NULL)
    OR (NEW.title IS NULL AND left(OLD.content, 200) <> left(NEW.content, 200)))
EXECUTE FUNCTION label_changed();

CREATE FUNCTION label_removed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO label_changes (item_id) SELECT id FROM removed;
    RETURN NULL;
END
$$;
CREATE TRIGGER label_removed AFTER DELETE ON knowledge REFERENCING OLD TABLE AS removed
FOR EACH STATEMENT EXECUTE FUNCTION label_removed();

CREATE FUNCTION labels_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO label_changes (item_id) VALUES (NULL);
    RETURN NULL;
END
$$;
CREATE TRIGGER labels_changed AFTER UPDATE ON domains FOR EACH ROW
WHEN ((OLD.id, OLD.name) <> (NEW.id, NEW.name)) EXECUTE FUNCTION labels_changed();
-- One that is removed may come back under another name before anybody looks for it.
CREATE TRIGGER labels_removed AFTER DELETE ON domains FOR EACH STATEMENT EXECUTE FUNCTION labels_changed();
-- Whoever may give an item or a domain another name may have it noticed.
DO $$
DECLARE
    function text;
BEGIN
    FOREACH function IN ARRAY ARRAY['label_changed()', 'label_removed()', 'labels_changed()'] LOOP
        EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER SET search_path = %I, pg_temp', function, current_schema());
    END LOOP;
END
$$;

-- Removals and changed labels before `forgotten` are forgotten: who does not know of all of them reads every link
-- again. Those before `next` will be, the next time.
CREATE TABLE link_horizon (
    forgotten xid8 NOT NULL,
    next xid8 NOT NULL
);
CREATE UNIQUE INDEX link_horizon_single_key ON link_horizon ((true));
INSERT INTO link_horizon VALUES ('0', '0');

-- Row first, snapshot then, or a slow one would move it back. A database that was restored elsewhere has numbers that are
-- still to come there: hence `least`.
CREATE FUNCTION link_horizon_move() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM link_horizon FOR UPDATE;
    UPDATE link_horizon SET
        forgotten = least(next, pg_snapshot_xmin(pg_current_snapshot())), next = pg_snapshot_xmin(pg_current_snapshot());
END
$$;

-- Where the numbers of transactions come from: they mean nothing after a restart of the server, or a crash, or on another
-- one, and nothing of other rows, of another database or restored here.
CREATE FUNCTION link_origin() RETURNS text LANGUAGE sql STABLE
RETURN concat_ws(
    ' ', extract(epoch FROM pg_postmaster_start_time()), extract(epoch FROM pg_stat_get_bgwriter_stat_reset_time()),
    (SELECT oid FROM pg_database WHERE datname = current_database()), pg_relation_filenode('knowledge_links')
);

-- What became of the links and labels since a snapshot; no kind where a link is gone. A snapshot does not see the
-- transactions that began after it and those that were under way. `at_most` links or labels or more are not all of them.
-- Numbers that are still to come are of another server, from which the rows were restored. Planned once: it is asked
-- before each walk.
CREATE FUNCTION link_changes(since pg_snapshot, at_most bigint)
RETURNS TABLE (is_label boolean, id uuid, source_id uuid, target_id uuid, kind text, weight double precision)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
BEGIN
    RETURN QUERY
    (SELECT false, r.id, r.source_id, r.target_id, NULL::text, NULL::double precision FROM link_removals r
     WHERE r.changed_in >= pg_snapshot_xmax(since) AND r.changed_in < pg_snapshot_xmax(pg_current_snapshot())
     ORDER BY r.changed_in LIMIT at_most)
    UNION ALL
    (SELECT false, l.id, l.source_id, l.target_id, CASE WHEN l.valid_to IS NULL AND l.gone_ends = 0 THEN l.kind END, l.weight
     FROM knowledge_links l
     WHERE l.changed_in >= pg_snapshot_xmax(since) AND l.changed_in < pg_snapshot_xmax(pg_current_snapshot())
     ORDER BY l.changed_in LIMIT at_most)
    UNION ALL
    (SELECT true, c.item_id, NULL, NULL, NULL, NULL FROM label_changes c
     WHERE c.changed_in >= pg_snapshot_xmax(since) AND c.changed_in < pg_snapshot_xmax(pg_current_snapshot())
     ORDER BY c.changed_in LIMIT at_most)
    UNION ALL
    SELECT late.* FROM pg_snapshot_xip(since) AS x (changed_in) CROSS JOIN LATERAL (
        (SELECT false, r.id, r.source_id, r.target_id, NULL, NULL::double precision FROM link_removals r
         WHERE r.changed_in = x.changed_in LIMIT at_most)
        UNION ALL
        (SELECT false, l.id, l.source_id, l.target_id, CASE WHEN l.valid_to IS NULL AND l.gone_ends = 0 THEN l.kind END, l.weight
         FROM knowledge_links l WHERE l.changed_in = x.changed_in LIMIT at_most)
        UNION ALL
        (SELECT true, c.item_id, NULL, NULL, NULL, NULL FROM label_changes c
         WHERE c.changed_in = x.changed_in LIMIT at_most)
    ) AS late;
END
$$;

-- Counts, and does not look, because both ends may come and go at the same time. Waits for whatever points at the
-- item and is under way, links among it, and sees them then; other changes of an item need not.
CREATE FUNCTION knowledge_gone() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    change smallint := CASE WHEN NEW.deleted_at IS NULL THEN -1 ELSE 1 END;
BEGIN
    PERFORM FROM knowledge WHERE id = NEW.id FOR UPDATE;
    -- In one order, so that two who delete linked items do not wait for each other.
    PERFORM 1 FROM knowledge_links WHERE source_id = NEW.id OR target_id = NEW.id ORDER BY id FOR UPDATE;
    UPDATE knowledge_links SET gone_ends = gone_ends + change WHERE source_id = NEW.id OR target_id = NEW.id;
    RETURN NULL;
END
$$;
CREATE TRIGGER knowledge_gone AFTER UPDATE OF deleted_at ON knowledge
FOR EACH ROW WHEN ((OLD.deleted_at IS NULL) <> (NEW.deleted_at IS NULL)) EXECUTE FUNCTION knowledge_gone();
-- To count what is there without reading it.
CREATE INDEX knowledge_gone_idx ON knowledge (id) WHERE deleted_at IS NOT NULL;
-- Titles that a text may mention.
CREATE INDEX knowledge_mentioned_idx ON knowledge (left(lower(title), 200)) WHERE title IS NOT NULL;
-- What was used soon after what, or for the same question.
CREATE INDEX interactions_used_idx ON interactions (knowledge_id, created_at) WHERE knowledge_id IS NOT NULL;
CREATE INDEX interactions_together_idx ON interactions (expert_id, created_at) WHERE knowledge_id IS NOT NULL;
CREATE INDEX interactions_asked_idx ON interactions USING hash (query) WHERE knowledge_id IS NOT NULL;

-- Pairs that nobody wants to see suggested again.
CREATE TABLE link_dismissals (
    low_id uuid NOT NULL,
    high_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT link_dismissals_pkey PRIMARY KEY (low_id, high_id),
    CONSTRAINT link_dismissals_low_id_fkey FOREIGN KEY (low_id) REFERENCES knowledge (id) ON DELETE CASCADE,
    CONSTRAINT link_dismissals_high_id_fkey FOREIGN KEY (high_id) REFERENCES knowledge (id) ON DELETE CASCADE,
    CONSTRAINT link_dismissals_order_check CHECK (low_id < high_id)
);
CREATE INDEX link_dismissals_high_id_idx ON link_dismissals (high_id);
