-- What texts mean, as numbers: made behind the writers by a provider of embeddings, when one is set.
CREATE TABLE knowledge_vectors (
    knowledge_id uuid NOT NULL,
    -- What made it; nothing until something did. Vectors of different makers are never compared.
    model text,
    -- The version of the text when it was last looked at, and the hash of what was embedded of it.
    version integer NOT NULL,
    content_hash bytea,
    -- Of length 1; none when the provider refused the text.
    vector real[],
    embedded_at timestamptz,
    -- Until then a server is at work on it, and the others leave it alone.
    claimed_until timestamptz,
    CONSTRAINT knowledge_vectors_pkey PRIMARY KEY (knowledge_id),
    CONSTRAINT knowledge_vectors_knowledge_id_fkey FOREIGN KEY (knowledge_id) REFERENCES knowledge (id) ON DELETE CASCADE
) WITH (toast_tuple_target = 256);
-- Vectors lie apart, as they are: whoever looks for texts that wait need not read them, and floats do not compress.
ALTER TABLE knowledge_vectors ALTER COLUMN vector SET STORAGE EXTERNAL;
-- Where the server has pgvector, the service makes an index for it, as long as the vectors turn out to be.
CREATE INDEX knowledge_vectors_embedded_at_idx ON knowledge_vectors (embedded_at, knowledge_id);
