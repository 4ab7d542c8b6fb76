-- In how many texts each word stands, counted behind the writers: their transactions would otherwise queue
-- for the row of every common word. The search weighs words by this, and mends slips with it.
CREATE TABLE search_words (
    word text NOT NULL,
    texts integer NOT NULL,
    -- The count at which it last changed; servers fetch what is newer than what they know.
    revision bigint NOT NULL,
    CONSTRAINT search_words_pkey PRIMARY KEY (word)
);
CREATE INDEX search_words_revision_idx ON search_words (revision);

-- What was counted: one row.
CREATE TABLE search_corpus (
    revision bigint NOT NULL DEFAULT 0,
    texts bigint NOT NULL DEFAULT 0,
    -- Different words of each text, added up.
    words bigint NOT NULL DEFAULT 0,
    -- Texts up to this id.
    counted_to uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    -- The same of ids from elsewhere, which are not made of the time.
    foreign_to uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    -- False while everything is counted anew, up to this id; servers keep what they know until that is done.
    is_whole boolean NOT NULL DEFAULT true,
    anew_to uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    -- When the sum was last compared with what is there.
    compared_at timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO search_corpus DEFAULT VALUES;

-- Counts the next texts, until they are so many or have so many words; says how many it did. Texts of the last seconds,
-- and what is newer than a transaction of a server that is still under way, are left for the next time: an older id may
-- be on its way to its commit. Ids of times to come are from elsewhere; they and the others are counted by turns. What
-- was removed, or came with an old id, or a smaller one from elsewhere, is put right by counting anew, when the sum is
-- wrong by more than a hundredth: few texts of few words are compared every ten seconds, many once an hour.
CREATE FUNCTION search_count(at_most integer, at_most_words bigint, settled_seconds double precision) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    corpus search_corpus;
    settled timestamptz;
    first_foreign uuid := uuid_v7_floor(now() + interval '1 day');
    after uuid;
    until uuid;
    one record;
    newest uuid;
    counted integer := 0;
    lengths bigint := 0;
    pause interval;
    there bigint;
    none uuid := '00000000-0000-0000-0000-000000000000';
BEGIN
    SELECT * INTO corpus FROM search_corpus FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    SELECT least(now(), min(xact_start)) - make_interval(secs => settled_seconds) INTO settled
    FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'knowledge-os' AND backend_xid IS NOT NULL;
    FOR after, until IN
        SELECT part.after, part.until FROM (VALUES
            (0, corpus.counted_to, uuid_v7_floor(settled)),
            (1, greatest(corpus.foreign_to, first_foreign), 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
        ) AS part (turn, after, until)
        ORDER BY (part.turn + corpus.revision) % 2
    LOOP
        FOR one IN
            SELECT id, length(search) AS words FROM knowledge WHERE id > after AND id < until AND deleted_at IS NULL
            ORDER BY id LIMIT at_most
        LOOP
            newest := one.id;
            counted := counted + 1;
            lengths := lengths + one.words;
            EXIT WHEN lengths >= at_most_words;
        END LOOP;
        EXIT WHEN counted > 0;
    END LOOP;
    IF counted > 0 THEN
        INSERT INTO search_words (word, texts, revision)
        SELECT word, ndoc, corpus.revision + 1
        FROM ts_stat(format(
            'SELECT search FROM knowledge WHERE id > %L AND id <= %L AND deleted_at IS NULL', after, newest
        ))
        ON CONFLICT (word) DO UPDATE
        SET texts = search_words.texts + excluded.texts, revision = excluded.revision;
        UPDATE search_corpus
        SET revision = revision + 1, texts = texts + counted, words = words + lengths,
            counted_to = CASE WHEN newest < first_foreign THEN newest ELSE counted_to END,
            foreign_to = CASE WHEN newest < first_foreign THEN foreign_to ELSE newest END
        RETURNING * INTO corpus;
    END IF;
    IF NOT corpus.is_whole THEN
        UPDATE search_corpus SET is_whole = true WHERE counted = 0 OR counted_to >= anew_to;
        RETURN counted;
    END IF;
    SELECT least(interval '1 hour', greatest(
        interval '10 s', corpus.texts * interval '36 ms', reltuples::bigint * interval '1 ms'
    )) INTO pause
    FROM pg_class WHERE oid = 'search_words'::regclass;
    IF corpus.compared_at < now() - pause THEN
        SELECT coalesce(sum(n), 0) INTO there FROM (
            SELECT count(*) AS n FROM knowledge WHERE id > none AND id <= corpus.counted_to
            UNION ALL
            SELECT count(*) FROM knowledge WHERE id > first_foreign AND id <= corpus.foreign_to
            UNION ALL
            SELECT -count(*) FROM knowledge
            WHERE (id > none AND id <= corpus.counted_to OR id > first_foreign AND id <= corpus.foreign_to)
                  AND deleted_at IS NOT NULL
        ) AS parts;
        UPDATE search_corpus SET compared_at = now();
        IF abs(there - corpus.texts) > there / 100 THEN
            UPDATE search_words SET texts = 0, revision = corpus.revision + 1;
            UPDATE search_corpus
            SET revision = revision + 1, texts = 0, words = 0, counted_to = none, foreign_to = none, is_whole = false,
                anew_to = counted_to;
            RETURN 1;
        END IF;
    END IF;
    RETURN counted;
END
$$;

-- Puts new and changed texts into the index. Postgres lets only the index's owner do so: a server may be somebody else.
CREATE FUNCTION search_index_new() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    PERFORM gin_clean_pending_list(oid) FROM pg_class
    WHERE oid = to_regclass('knowledge_search_idx') AND pg_has_role(relowner, 'USAGE');
END
$$;
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION search_index_new() SET search_path = %I, pg_temp', current_schema());
END
$$;

-- What a text must hold and must not, as Postgres understands it: all phrases, none of the excluded words.
-- Stop words vanish; nothing is left when there is nothing else.
CREATE FUNCTION search_filter(phrases text[], without text[]) RETURNS tsquery
LANGUAGE sql STABLE PARALLEL SAFE
RETURN (
    WITH parts AS (
        SELECT '(' || q::text || ')' AS part
        FROM unnest(phrases) AS phrase, phraseto_tsquery('pg_catalog.russian', search_text(phrase)) AS q
        WHERE numnode(q) > 0
        UNION ALL
        SELECT '!(' || q::text || ')'
        FROM unnest(without) AS word, phraseto_tsquery('pg_catalog.russian', search_text(word)) AS q
        WHERE numnode(q) > 0
    )
    SELECT string_agg(part, ' & ')::tsquery FROM parts
);

-- All words of the phrases, wherever they stand.
CREATE FUNCTION search_loosely(phrases text[]) RETURNS tsquery
LANGUAGE sql STABLE PARALLEL SAFE
RETURN (
    SELECT string_agg('(' || q::text || ')', ' & ')::tsquery
    FROM unnest(phrases) AS phrase, plainto_tsquery('pg_catalog.russian', search_text(phrase)) AS q
    WHERE numnode(q) > 0
);

-- Whether a text that has lost places of its words holds a phrase; nothing for one of stop words. What Postgres does
-- not see is looked for word by word, as it is written.
CREATE FUNCTION search_holds(search tsvector, content text, phrase text) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN (
    SELECT search @@ q OR (
        search @@ plainto_tsquery('pg_catalog.russian', search_text(phrase)) AND translate(content, 'ёЁ', 'еЕ') ~* (
            SELECT '(^|[^[:alnum:]])' || string_agg(word, '[^[:alnum:]]+' ORDER BY place) || '([^[:alnum:]]|$)'
            FROM regexp_split_to_table(translate(phrase, 'ёЁ', 'еЕ'), '[^[:alnum:]]+') WITH ORDINALITY AS words (word, place)
            WHERE word <> ''
        )
    )
    FROM phraseto_tsquery('pg_catalog.russian', search_text(phrase)) AS q WHERE numnode(q) > 0
);

CREATE FUNCTION search_holds_all(search tsvector, content text, phrases text[]) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN (SELECT coalesce(bool_and(search_holds(search, content, phrase)), true) FROM unnest(phrases) AS phrase);

CREATE FUNCTION search_holds_any(search tsvector, content text, phrases text[]) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN (SELECT coalesce(bool_or(search_holds(search, content, phrase)), false) FROM unnest(phrases) AS phrase);

-- The passage of a text that fits a query, what was found between U+0002 and U+0003. What parts words (see
-- search_text) is not taken away here, only kept apart by U+200B, which whoever shows it takes out.
CREATE FUNCTION search_passage(content text, query tsquery) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ts_headline(
    'pg_catalog.russian',
    regexp_replace(
        translate(content, U&'\0002\0003\200B', ''), '[/\\<>&]|\.(?=\D)', U&'\200B\\&\200B', 'g'
    ),
    query,
    U&'StartSel=\0002, StopSel=\0003, MaxFragments=2, MaxWords=30, MinWords=10, ShortWord=0, FragmentDelimiter=" … "'
);

-- How sure we still are: half as much after the domain's half-life since somebody last stood by it, but
-- never less than a tenth. What is hardly anything is nothing: Postgres fails on products that it cannot tell from it.
CREATE FUNCTION effective_confidence(confidence double precision, confirmed_at timestamptz, half_life_days double precision)
RETURNS double precision LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE
    WHEN confidence < 1e-9 THEN 0
    WHEN half_life_days IS NULL THEN confidence
    ELSE greatest(
        confidence * 0.1,
        confidence * 0.5 ^ least(4, greatest(0, date_part('epoch', now() - confirmed_at) / 86400) / half_life_days)
    )
END;

-- How much is searched, by day; and what was searched for in vain: what the knowledge lacks.
CREATE TABLE search_days (
    day date NOT NULL,
    searches bigint NOT NULL,
    without_result bigint NOT NULL,
    took_ms bigint NOT NULL,
    CONSTRAINT search_days_pkey PRIMARY KEY (day)
);
CREATE TABLE search_gaps (
    query text NOT NULL,
    times bigint NOT NULL,
    last_at timestamptz NOT NULL,
    CONSTRAINT search_gaps_pkey PRIMARY KEY (query)
);
