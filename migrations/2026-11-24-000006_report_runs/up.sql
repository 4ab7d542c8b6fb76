-- One report per kind and period: the unique key is what makes two crons send one report.
CREATE TABLE report_runs (
    kind text NOT NULL,
    period_start date NOT NULL,
    time_zone text NOT NULL,
    event_id uuid NOT NULL,
    revision integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT report_runs_pkey PRIMARY KEY (kind, period_start),
    CONSTRAINT report_runs_kind_check CHECK (kind IN ('daily', 'weekly'))
);
