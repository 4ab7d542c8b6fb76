//! The tables as Diesel knows them, but for numbers of transactions (xid8), which it does not. A test compares this
//! file with a migrated database.

diesel::table! {
    domains (id) {
        id -> Uuid,
        name -> Text,
        description -> Text,
        half_life_days -> Nullable<Double>,
        version -> Integer,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    /// Without `search` and `has_lost_places`, which only Postgres reads and writes.
    knowledge (id) {
        id -> Uuid,
        domain_id -> Nullable<Uuid>,
        title -> Nullable<Text>,
        content -> Text,
        confidence_score -> Double,
        is_verified -> Bool,
        source_ref -> Nullable<Text>,
        tags -> Array<Text>,
        lang -> Text,
        metadata -> Jsonb,
        content_hash -> Bytea,
        simhash -> BigInt,
        feedback_sum -> Double,
        feedback_count -> Integer,
        version -> Integer,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        confirmed_at -> Timestamptz,
        deleted_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    knowledge_history (knowledge_id, version) {
        knowledge_id -> Uuid,
        version -> Integer,
        changed_at -> Timestamptz,
        actor -> Text,
        change -> Text,
        fields -> Array<Text>,
        snapshot -> Nullable<Jsonb>,
    }
}

diesel::table! {
    experts (id) {
        id -> Uuid,
        name -> Text,
        role -> Text,
        email -> Nullable<Text>,
        bio -> Text,
        version -> Integer,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    expert_domains (expert_id, domain_id) {
        expert_id -> Uuid,
        domain_id -> Uuid,
    }
}

diesel::table! {
    tasks (id) {
        id -> Uuid,
        title -> Text,
        description -> Text,
        status -> Text,
        priority -> Text,
        assignee_id -> Nullable<Uuid>,
        domain_id -> Nullable<Uuid>,
        due_at -> Nullable<Timestamptz>,
        completed_at -> Nullable<Timestamptz>,
        version -> Integer,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    interactions (id) {
        id -> Uuid,
        expert_id -> Nullable<Uuid>,
        knowledge_id -> Nullable<Uuid>,
        query -> Text,
        response -> Text,
        feedback_score -> Nullable<Integer>,
        feedback_comment -> Nullable<Text>,
        feedback_at -> Nullable<Timestamptz>,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    webhooks (id) {
        id -> Uuid,
        webhook_type -> Text,
        name -> Text,
        url -> Bytea,
        destination -> Text,
        details -> Jsonb,
        enabled -> Bool,
        disabled_reason -> Nullable<Text>,
        disabled_at -> Nullable<Timestamptz>,
        events -> Jsonb,
        metadata -> Jsonb,
        policy -> Jsonb,
        locale -> Text,
        version -> Integer,
        revision -> BigInt,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    directory (version) {
        version -> BigInt,
    }
}

diesel::table! {
    webhook_tombstones (webhook_id) {
        webhook_id -> Uuid,
        revision -> BigInt,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    webhook_health (webhook_id) {
        webhook_id -> Uuid,
        held_until -> Nullable<Timestamptz>,
        breaker -> Text,
        breaker_until -> Nullable<Timestamptz>,
        trips -> Integer,
        probes -> Integer,
        probe_until -> Nullable<Timestamptz>,
        failing_since -> Nullable<Timestamptz>,
        failures -> Integer,
        last_error -> Nullable<Text>,
        last_failure_at -> Nullable<Timestamptz>,
        told -> Integer,
        rate_tat -> Nullable<Timestamptz>,
        placing_since -> Nullable<Timestamptz>,
        first_place -> Nullable<BigInt>,
        next_place -> Nullable<BigInt>,
    }
}

diesel::table! {
    events (id) {
        id -> Uuid,
        event_type -> Text,
        payload -> Json,
        about -> Nullable<Uuid>,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    webhook_logs (id) {
        id -> Uuid,
        webhook_id -> Uuid,
        delivery_id -> Uuid,
        event_id -> Uuid,
        event_type -> Text,
        attempt -> Integer,
        outcome -> Text,
        success -> Bool,
        status -> Nullable<Integer>,
        response -> Nullable<Text>,
        error -> Nullable<Text>,
        duration_ms -> Integer,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    holders (id) {
        id -> Integer,
        started_at -> Timestamptz,
        lost_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    deliveries (id) {
        id -> Uuid,
        event_id -> Uuid,
        webhook_id -> Uuid,
        due_at -> Timestamptz,
        lease_token -> Nullable<BigInt>,
        place -> Nullable<BigInt>,
        attempt -> SmallInt,
        tier -> SmallInt,
        waits_for -> Nullable<Text>,
    }
}

diesel::table! {
    dead_letters (delivery_id) {
        delivery_id -> Uuid,
        event_id -> Uuid,
        webhook_id -> Uuid,
        attempts -> Integer,
        state -> Text,
        reason -> Text,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    replays (id) {
        id -> Uuid,
        webhook_id -> Uuid,
        since -> Timestamptz,
        until -> Timestamptz,
        events -> Jsonb,
        everything -> Bool,
        per_second -> Integer,
        state -> Text,
        position -> Uuid,
        looked_at -> BigInt,
        enqueued -> BigInt,
        next_at -> Timestamptz,
        created_at -> Timestamptz,
        finished_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    report_runs (kind, period_start) {
        kind -> Text,
        period_start -> Date,
        time_zone -> Text,
        event_id -> Uuid,
        revision -> Integer,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    search_words (word) {
        word -> Text,
        texts -> Integer,
        revision -> BigInt,
    }
}

diesel::table! {
    knowledge_links (id) {
        id -> Uuid,
        source_id -> Uuid,
        target_id -> Uuid,
        kind -> Text,
        weight -> Double,
        note -> Nullable<Text>,
        origin -> Text,
        metadata -> Jsonb,
        version -> Integer,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        valid_to -> Nullable<Timestamptz>,
        gone_ends -> SmallInt,
    }
}

diesel::table! {
    /// One row.
    search_corpus (revision) {
        revision -> BigInt,
        texts -> BigInt,
        words -> BigInt,
        counted_to -> Uuid,
        foreign_to -> Uuid,
        is_whole -> Bool,
        anew_to -> Uuid,
        compared_at -> Timestamptz,
    }
}

diesel::table! {
    search_days (day) {
        day -> Date,
        searches -> BigInt,
        without_result -> BigInt,
        took_ms -> BigInt,
    }
}

diesel::table! {
    search_gaps (query) {
        query -> Text,
        times -> BigInt,
        last_at -> Timestamptz,
    }
}

diesel::table! {
    knowledge_vectors (knowledge_id) {
        knowledge_id -> Uuid,
        model -> Nullable<Text>,
        version -> Integer,
        content_hash -> Nullable<Bytea>,
        vector -> Nullable<Array<Float>>,
        embedded_at -> Nullable<Timestamptz>,
        claimed_until -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    idempotency_keys (route, key) {
        route -> Text,
        key -> Text,
        body_hash -> Bytea,
        status -> Integer,
        answer -> Bytea,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    label_changes (item_id) {
        item_id -> Nullable<Uuid>,
    }
}

diesel::table! {
    link_dismissals (low_id, high_id) {
        low_id -> Uuid,
        high_id -> Uuid,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    link_removals (id) {
        id -> Uuid,
        source_id -> Uuid,
        target_id -> Uuid,
    }
}

diesel::joinable!(knowledge -> domains (domain_id));
diesel::joinable!(webhook_logs -> events (event_id));
diesel::allow_tables_to_appear_in_same_query!(domains, knowledge);
diesel::allow_tables_to_appear_in_same_query!(events, webhook_logs);
