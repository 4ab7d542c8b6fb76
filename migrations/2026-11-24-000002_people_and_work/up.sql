CREATE TABLE experts (
    id uuid NOT NULL DEFAULT uuid_v7(),
    name text NOT NULL,
    role text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT experts_pkey PRIMARY KEY (id)
);

CREATE TABLE tasks (
    id uuid NOT NULL DEFAULT uuid_v7(),
    title text NOT NULL,
    status text NOT NULL DEFAULT 'pending',
    assignee_id uuid,
    domain_id uuid,
    due_at timestamptz,
    completed_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tasks_pkey PRIMARY KEY (id),
    CONSTRAINT tasks_assignee_id_fkey FOREIGN KEY (assignee_id) REFERENCES experts (id),
    CONSTRAINT tasks_domain_id_fkey FOREIGN KEY (domain_id) REFERENCES domains (id),
    CONSTRAINT tasks_status_check CHECK (status IN ('pending', 'in_progress', 'completed', 'failed', 'cancelled')),
    CONSTRAINT tasks_completed_at_check CHECK ((status = 'completed') = (completed_at IS NOT NULL))
);
CREATE INDEX tasks_completed_at_idx ON tasks (completed_at) WHERE completed_at IS NOT NULL;

CREATE TABLE interactions (
    id uuid NOT NULL DEFAULT uuid_v7(),
    expert_id uuid,
    knowledge_id uuid,
    query text NOT NULL,
    response text NOT NULL DEFAULT '',
    feedback_score integer,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT interactions_pkey PRIMARY KEY (id),
    CONSTRAINT interactions_expert_id_fkey FOREIGN KEY (expert_id) REFERENCES experts (id),
    CONSTRAINT interactions_knowledge_id_fkey FOREIGN KEY (knowledge_id) REFERENCES knowledge (id) ON DELETE SET NULL,
    CONSTRAINT interactions_feedback_score_check CHECK (feedback_score BETWEEN 1 AND 5)
);
CREATE INDEX interactions_created_at_idx ON interactions (created_at);
