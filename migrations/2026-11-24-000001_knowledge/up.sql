-- Ids sort by time wherever they are made: this is the database's own UUID v7.
CREATE FUNCTION uuid_v7() RETURNS uuid
LANGUAGE sql VOLATILE PARALLEL SAFE
RETURN encode(
    set_bit(
        set_bit(
            overlay(
                uuid_send(gen_random_uuid())
                PLACING substring(int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
                FROM 1 FOR 6
            ),
            52, 1
        ),
        53, 1
    ),
    'hex'
)::uuid;

CREATE TABLE domains (
    id uuid NOT NULL DEFAULT uuid_v7(),
    name text NOT NULL,
    description text NOT NULL DEFAULT '',
    -- After how many days what we are sure of counts half; nothing for what does not age.
    half_life_days double precision,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT domains_pkey PRIMARY KEY (id),
    CONSTRAINT domains_name_key UNIQUE (name),
    CONSTRAINT domains_half_life_days_check CHECK (half_life_days > 0)
);

-- A text as the search reads it. Postgres would take "async/await" for a file's name, "fagott.conf" for a
-- host, "<String>" for a tag and "&x;" for an entity, and find none of their words: what parts words is
-- made a space here. A point before a digit stays, for 3.14.
CREATE FUNCTION search_text(text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN regexp_replace(translate($1, '/\<>&', '     '), '\.(?=\D)', ' ', 'g');

-- The words of a text as the search knows them. The `russian` configuration stems Cyrillic by Russian rules
-- and Latin words by English ones. Postgres takes up to 1 MiB of words: of a text with more, the start
-- is found. Not safe in parallel: to catch an error is to begin a subtransaction, which most texts are spared.
CREATE FUNCTION knowledge_words(title text, content text) RETURNS tsvector
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    words text := search_text(concat_ws(E'\n', title, content));
    length integer := length(words);
BEGIN
    -- Too few to be too many, whatever they are made of.
    IF length <= 32768 THEN
        RETURN to_tsvector('pg_catalog.russian', words);
    END IF;
    LOOP
        BEGIN
            RETURN to_tsvector('pg_catalog.russian', left(words, length));
        EXCEPTION WHEN program_limit_exceeded THEN
            length := length / 2;
        END;
    END LOOP;
END
$$;

-- Of a word, Postgres keeps 255 places at the most, and none beyond the 16,383rd.
CREATE FUNCTION loses_places(words tsvector) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN EXISTS (
    SELECT FROM unnest(words) WHERE cardinality(positions) >= 255 OR positions[cardinality(positions)] = 16383
);

CREATE TABLE knowledge (
    id uuid NOT NULL DEFAULT uuid_v7(),
    domain_id uuid,
    title text,
    content text NOT NULL,
    confidence_score double precision NOT NULL DEFAULT 1,
    is_verified boolean NOT NULL DEFAULT false,
    source_ref text,
    tags text[] NOT NULL DEFAULT '{}',
    lang text NOT NULL DEFAULT 'und',
    metadata jsonb NOT NULL DEFAULT '{}',
    content_hash bytea NOT NULL,
    -- Alike texts differ in few bits of this.
    simhash bigint NOT NULL DEFAULT 0,
    -- What interactions said of it, each from -1 to 1.
    feedback_sum double precision NOT NULL DEFAULT 0,
    feedback_count integer NOT NULL DEFAULT 0,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    -- Since when it ages: when somebody last stood by it.
    confirmed_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,
    search tsvector NOT NULL GENERATED ALWAYS AS (knowledge_words(title, content)) STORED,
    -- Whether Postgres left out where some of its words stand: it may be so of long texts.
    has_lost_places boolean NOT NULL GENERATED ALWAYS AS (
        CASE WHEN octet_length(content) > 8192 THEN loses_places(knowledge_words(title, content)) ELSE false END
    ) STORED,
    CONSTRAINT knowledge_pkey PRIMARY KEY (id),
    CONSTRAINT knowledge_domain_id_fkey FOREIGN KEY (domain_id) REFERENCES domains (id),
    CONSTRAINT knowledge_confidence_score_check CHECK (confidence_score BETWEEN 0 AND 1)
);
-- New texts wait in a list until they are put into the index, many at a time, which is less work than a few; a search
-- reads the list, 5 ms a megabyte. The service empties it every three seconds; who finds it full has to, for a second or
-- two.
CREATE INDEX knowledge_search_idx ON knowledge USING gin (search) WITH (gin_pending_list_limit = 32768);
CREATE INDEX knowledge_domain_id_idx ON knowledge (domain_id, created_at, id);
CREATE INDEX knowledge_created_at_idx ON knowledge (created_at, id);
CREATE INDEX knowledge_updated_at_idx ON knowledge (updated_at, id);
CREATE INDEX knowledge_confidence_score_idx ON knowledge (confidence_score, id);
CREATE INDEX knowledge_tags_idx ON knowledge USING gin (tags);
-- A text lives once; in the bin there may be more of it. No index may say `deleted_at IS NULL` as the statements do: of a
-- table that was not analyzed yet Postgres believes that few rows are so, and reads the whole of such an index beside the
-- one that a statement is about.
CREATE UNIQUE INDEX knowledge_content_hash_idx ON knowledge (content_hash) WHERE (deleted_at IS NULL) IS TRUE;
-- Of numbers that differ in at most three bits of 64, one quarter at least is the same.
CREATE INDEX knowledge_simhash_1_idx ON knowledge ((simhash & 65535));
CREATE INDEX knowledge_simhash_2_idx ON knowledge ((simhash >> 16 & 65535));
CREATE INDEX knowledge_simhash_3_idx ON knowledge ((simhash >> 32 & 65535));
CREATE INDEX knowledge_simhash_4_idx ON knowledge ((simhash >> 48 & 65535));

-- One row a change: who made it, and what stood there before. What came of it stands in the next row, or in
-- the knowledge itself.
CREATE TABLE knowledge_history (
    knowledge_id uuid NOT NULL,
    -- The version that the change made.
    version integer NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    change text NOT NULL,
    fields text[] NOT NULL DEFAULT '{}',
    -- Nothing where nothing stood before.
    snapshot jsonb,
    CONSTRAINT knowledge_history_pkey PRIMARY KEY (knowledge_id, version),
    CONSTRAINT knowledge_history_knowledge_id_fkey FOREIGN KEY (knowledge_id) REFERENCES knowledge (id) ON DELETE CASCADE,
    CONSTRAINT knowledge_history_change_check
        CHECK (change IN ('created', 'imported', 'updated', 'verified', 'deleted', 'restored', 'reverted'))
);
