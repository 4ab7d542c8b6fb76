CREATE TABLE experts (
    id uuid NOT NULL DEFAULT uuid_v7(),
    name text NOT NULL,
    role text NOT NULL DEFAULT '',
    email text,
    bio text NOT NULL DEFAULT '',
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT experts_pkey PRIMARY KEY (id)
);
CREATE INDEX experts_name_idx ON experts (name, id);

-- What an expert knows.
CREATE TABLE expert_domains (
    expert_id uuid NOT NULL,
    domain_id uuid NOT NULL,
    CONSTRAINT expert_domains_pkey PRIMARY KEY (expert_id, domain_id),
    CONSTRAINT expert_domains_expert_id_fkey FOREIGN KEY (expert_id) REFERENCES experts (id) ON DELETE CASCADE,
    CONSTRAINT expert_domains_domain_id_fkey FOREIGN KEY (domain_id) REFERENCES domains (id)
);
CREATE INDEX expert_domains_domain_id_idx ON expert_domains (domain_id);

CREATE TABLE tasks (
    id uuid NOT NULL DEFAULT uuid_v7(),
    title text NOT NULL,
    description text NOT NULL DEFAULT '',
    status text NOT NULL DEFAULT 'pending',
    priority text NOT NULL DEFAULT 'normal',
    assignee_id uuid,
    domain_id uuid,
    due_at timestamptz,
    completed_at timestamptz,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tasks_pkey PRIMARY KEY (id),
    CONSTRAINT tasks_assignee_id_fkey FOREIGN KEY (assignee_id) REFERENCES experts (id),
    CONSTRAINT tasks_domain_id_fkey FOREIGN KEY (domain_id) REFERENCES domains (id),
    CONSTRAINT tasks_status_check CHECK (status IN ('pending', 'in_progress', 'completed', 'failed', 'cancelled')),
    CONSTRAINT tasks_priority_check CHECK (priority IN ('low', 'normal', 'high', 'urgent')),
    CONSTRAINT tasks_completed_at_check CHECK ((status = 'completed') = (completed_at IS NOT NULL))
);
CREATE INDEX tasks_completed_at_idx ON tasks (completed_at) WHERE completed_at IS NOT NULL;
CREATE INDEX tasks_created_at_idx ON tasks (created_at, id);
CREATE INDEX tasks_due_at_idx ON tasks (coalesce(due_at, 'infinity'), id);
CREATE INDEX tasks_assignee_id_idx ON tasks (assignee_id, id);
CREATE INDEX tasks_domain_id_idx ON tasks (domain_id, id);

-- Which way a task's life may go.
CREATE FUNCTION task_may_become(present text, next text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE present
    WHEN 'pending' THEN next IN ('in_progress', 'completed', 'failed', 'cancelled')
    WHEN 'in_progress' THEN next IN ('pending', 'completed', 'failed', 'cancelled')
    ELSE next = 'pending'
END;

-- Whoever writes, a task is completed when it becomes so, and at no other time. One that is brought in from
-- elsewhere may have been completed before.
CREATE FUNCTION task_lives() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        NEW.completed_at := CASE WHEN NEW.status = 'completed' THEN coalesce(NEW.completed_at, now()) END;
    ELSIF NEW.status = OLD.status THEN
        NEW.completed_at := OLD.completed_at;
    ELSIF task_may_become(OLD.status, NEW.status) THEN
        NEW.completed_at := CASE WHEN NEW.status = 'completed' THEN now() END;
    ELSE
        RAISE EXCEPTION 'a task cannot go from % to %', OLD.status, NEW.status
        USING ERRCODE = 'check_violation', TABLE = 'tasks', COLUMN = 'status';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER tasks_live BEFORE INSERT OR UPDATE ON tasks FOR EACH ROW EXECUTE FUNCTION task_lives();

CREATE TABLE interactions (
    id uuid NOT NULL DEFAULT uuid_v7(),
    expert_id uuid,
    knowledge_id uuid,
    query text NOT NULL,
    response text NOT NULL DEFAULT '',
    feedback_score integer,
    feedback_comment text,
    -- When it was last given.
    feedback_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT interactions_pkey PRIMARY KEY (id),
    CONSTRAINT interactions_expert_id_fkey FOREIGN KEY (expert_id) REFERENCES experts (id),
    CONSTRAINT interactions_knowledge_id_fkey FOREIGN KEY (knowledge_id) REFERENCES knowledge (id) ON DELETE SET NULL,
    CONSTRAINT interactions_feedback_score_check CHECK (feedback_score BETWEEN 1 AND 5)
);
CREATE INDEX interactions_created_at_idx ON interactions (created_at, id);
CREATE INDEX interactions_expert_id_idx ON interactions (expert_id, id);
CREATE INDEX interactions_knowledge_id_idx ON interactions (knowledge_id);

-- Knowledge carries the sum of what interactions said of it; whoever writes, the sum is theirs. The scores
-- 1 to 5 count from -1 to 1, in halves, which add up exactly.
CREATE FUNCTION interaction_counts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE knowledge k
    SET feedback_sum = k.feedback_sum + said.value, feedback_count = k.feedback_count + said.times
    FROM (
        SELECT knowledge_id, sum(value) AS value, sum(times)::integer AS times
        FROM (
            SELECT OLD.knowledge_id, (3 - OLD.feedback_score) / 2.0::double precision AS value, -1 AS times
            WHERE TG_OP <> 'INSERT' AND OLD.feedback_score IS NOT NULL
            UNION ALL
            SELECT NEW.knowledge_id, (NEW.feedback_score - 3) / 2.0::double precision, 1
            WHERE TG_OP <> 'DELETE' AND NEW.feedback_score IS NOT NULL
        ) AS word
        GROUP BY knowledge_id
    ) AS said
    WHERE k.id = said.knowledge_id AND (said.value <> 0 OR said.times <> 0);
    RETURN NULL;
END
$$;
CREATE TRIGGER interactions_count AFTER INSERT OR DELETE OR UPDATE OF knowledge_id, feedback_score ON interactions
FOR EACH ROW EXECUTE FUNCTION interaction_counts();
