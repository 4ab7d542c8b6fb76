//! Claims, leases and outcomes.

use std::collections::HashSet;
use std::time::Duration;

use kos_model::{DeliveryPolicy, Outcome, RateLimit};
use kos_repository::{Claimed, NewEvent, Next, Places, Tier, WaitsFor, WebhookChange, WebhookRecord};
use kos_test_support::TestDb;

use crate::builders::{
    MINUTE, claim, claim_governed, claim_of, event, finished, free, heard, leased, mint, ordered, repository, webhook,
    webhook_with,
};

#[tokio::test(flavor = "multi_thread")]
async fn claimers_that_run_at_once_share_the_work_without_a_duplicate() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    webhook(&repository, &[]).await;
    webhook(&repository, &[]).await;
    for _ in 0..100 {
        repository.event_emit(event("x"), &free()).await.unwrap();
    }
    let claims = (0..8).map(|_| claim_of(&repository, 15));
    let mut taken: Vec<_> = futures_util::future::join_all(claims).await.into_iter().flatten().collect();
    taken.extend(claim(&repository).await);
    taken.extend(claim(&repository).await);
    let distinct: HashSet<_> = taken.iter().map(|claimed| claimed.id).collect();
    assert_eq!((taken.len(), distinct.len()), (200, 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_of_one_webhook_leaves_room_for_the_others() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let slow = webhook(&repository, &["slow"]).await;
    let quick = webhook(&repository, &["quick"]).await;
    for _ in 0..50 {
        repository.event_emit(event("slow"), &free()).await.unwrap();
    }
    repository.event_emit(event("quick"), &free()).await.unwrap();
    let place = |webhook_id, count| Places { webhook_id, tier: Tier::First, count };
    let places = [place(slow.id, 3), place(quick.id, 10)];
    let claimed = repository.delivery_claim(&places, MINUTE, &mint()).await.unwrap();
    let of = |id| claimed.iter().filter(|claimed| claimed.recipient.webhook_id == id).count();
    assert_eq!((of(slow.id), of(quick.id)), (3, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_under_an_old_lease_changes_nothing_but_the_log() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let listener = webhook(&repository, &[]).await;
    let emitted = repository.event_emit(event("x"), &leased()).await.unwrap();
    let stale = &emitted.claimed[0];
    db.client().await.batch_execute("UPDATE deliveries SET due_at = now()").await.unwrap();
    let fresh = &claim(&repository).await[0];
    assert_eq!(fresh.id, stale.id);

    let held = repository.delivery_finish(&[finished(stale, Outcome::Delivered, Next::Done)]).await.unwrap();
    assert!(held.is_empty());
    assert_eq!(repository.delivery_waiting().await.unwrap(), 1);
    let held = repository.delivery_finish(&[finished(fresh, Outcome::Delivered, Next::Done)]).await.unwrap();
    assert_eq!(held.len(), 1);
    assert_eq!(repository.delivery_waiting().await.unwrap(), 0);
    assert_eq!(repository.webhook_log_list(listener.id, None, 10).await.unwrap().len(), 2, "one row an attempt");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_outcome_leads_to_its_state() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let listener = webhook(&repository, &[]).await;
    for _ in 0..4 {
        repository.event_emit(event("x"), &free()).await.unwrap();
    }
    let claimed = claim(&repository).await;
    let retry = Outcome::Retry { after: None };
    let reports = [
        finished(&claimed[0], Outcome::Delivered, Next::Done),
        finished(&claimed[1], retry, Next::RetryIn(Duration::ZERO, WaitsFor::Schedule)),
        finished(&claimed[2], Outcome::Fault, Next::DeferFor(Duration::ZERO, WaitsFor::Fault)),
        finished(&claimed[3], Outcome::Rejected, Next::Dead),
    ];
    repository.delivery_finish(&reports).await.unwrap();
    let again = claim(&repository).await;
    let attempts: Vec<_> = again.iter().map(|claimed| (claimed.id, claimed.attempts)).collect();
    assert_eq!(attempts, [(claimed[1].id, 1), (claimed[2].id, 0)], "a fault of ours costs no attempt");
    let stats = repository.stats().await.unwrap().totals;
    assert_eq!((stats.deliveries_waiting, stats.dead_letters, stats.attempts_24h), (2, 1, 4));
    let logs = repository.webhook_log_list(listener.id, None, 10).await.unwrap();
    assert_eq!(logs.iter().filter(|log| log.success).count(), 1);
    assert_eq!(logs[0].payload.as_ref().unwrap().value()["message"], "x", "the payload is the event's");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_handed_back_is_free_at_once_and_only_by_its_holder() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    webhook(&repository, &[]).await;
    let emitted = repository.event_emit(event("x"), &leased()).await.unwrap();
    let held = &emitted.claimed[0];
    assert_eq!(repository.delivery_release(&[(held.id, held.lease_token + 1)]).await.unwrap(), 0);
    assert_eq!(repository.delivery_release(&[(held.id, held.lease_token)]).await.unwrap(), 1);
    assert_eq!(claim(&repository).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_an_order_the_first_one_holds_the_rest() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let webhook = webhook_with(&repository, ordered()).await;
    for name in ["a", "b", "c", "d"] {
        let emitted = repository.event_emit(event(name), &leased()).await.unwrap();
        assert!(emitted.claimed.is_empty(), "what has an order is born without a lease");
    }
    let names = |claimed: &[Claimed]| -> String {
        claimed.iter().map(|claimed| claimed.event.event_type.as_str().to_owned()).collect()
    };
    let first = claim_governed(&repository, &webhook, 2, None).await;
    assert_eq!(names(&first), "ab");
    assert_eq!(names(&claim_governed(&repository, &webhook, 2, None).await), "", "another server has the first ones");
    let later = Next::RetryIn(Duration::from_secs(60), WaitsFor::Schedule);
    repository.delivery_finish(&[finished(&first[0], Outcome::Retry { after: None }, later)]).await.unwrap();
    repository.delivery_release(&[(first[1].id, first[1].lease_token)]).await.unwrap();
    assert_eq!(names(&claim_governed(&repository, &webhook, 9, None).await), "", "the first one waits for its retry");
    db.client().await.batch_execute("UPDATE deliveries SET due_at = now()").await.unwrap();
    assert_eq!(names(&claim_governed(&repository, &webhook, 9, None).await), "abcd");
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_ask_at_once_keep_an_order_between_them() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let webhook = webhook_with(&repository, ordered()).await;
    for _ in 0..40 {
        repository.event_emit(event("x"), &free()).await.unwrap();
    }
    for _ in 0..10 {
        let claims = (0..4).map(|_| claim_governed(&repository, &webhook, 4, None));
        let taken: Vec<_> = futures_util::future::join_all(claims).await;
        let holders = taken.iter().filter(|claimed| !claimed.is_empty()).count();
        assert_eq!(holders, 1, "one server has the head of the lane, the others nothing");
        let done: Vec<_> =
            taken.iter().flatten().map(|claimed| finished(claimed, Outcome::Delivered, Next::Done)).collect();
        assert_eq!(done.len(), 4);
        repository.delivery_finish(&done).await.unwrap();
    }
    assert_eq!(repository.delivery_waiting().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_holds_among_all_servers_and_bursts_as_far_as_its_limit() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let rate = Some(RateLimit { limit: 5, per_seconds: 3600 });
    let webhook = webhook_with(&repository, DeliveryPolicy { rate_limit: rate, ..DeliveryPolicy::default() }).await;
    for _ in 0..20 {
        repository.event_emit(event("x"), &leased()).await.unwrap();
    }
    let claims = (0..4).map(|_| claim_governed(&repository, &webhook, 3, rate));
    let mut taken: usize = futures_util::future::join_all(claims).await.iter().map(Vec::len).sum();
    for _ in 0..4 {
        taken += claim_governed(&repository, &webhook, 3, rate).await.len();
    }
    assert_eq!(taken, 5);
    db.client().await.batch_execute("UPDATE webhook_health SET rate_tat = rate_tat - interval '720 s'").await.unwrap();
    assert_eq!(claim_governed(&repository, &webhook, 3, rate).await.len(), 1, "one more for each interval");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_again_is_claimed_apart_from_what_comes_first() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let webhook = webhook(&repository, &[]).await;
    for _ in 0..3 {
        repository.event_emit(event("x"), &free()).await.unwrap();
    }
    let again = Next::RetryIn(Duration::ZERO, WaitsFor::Schedule);
    let first = claim_of(&repository, 1).await;
    repository.delivery_finish(&[finished(&first[0], Outcome::Retry { after: None }, again)]).await.unwrap();
    let tier = |tier| Places { webhook_id: webhook.id, tier, count: 9 };
    let retries = repository.delivery_claim(&[tier(Tier::Again)], MINUTE, &mint()).await.unwrap();
    assert_eq!(retries.iter().map(|claimed| (claimed.id, claimed.attempts)).collect::<Vec<_>>(), [(first[0].id, 1)]);
    assert_eq!(repository.delivery_claim(&[tier(Tier::First)], MINUTE, &mint()).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn lanes_that_are_off_or_held_say_so_and_a_backlog_is_one_row() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let busy = webhook(&repository, &[]).await;
    let held = webhook(&repository, &[]).await;
    let paused = webhook(&repository, &[]).await;
    repository.webhook_pause(paused.id).await.unwrap();
    for _ in 0..50 {
        repository.event_emit(event("x"), &free()).await.unwrap();
    }
    repository.webhook_hold(&[held.id], MINUTE).await.unwrap();
    let lanes = repository.delivery_lanes().await.unwrap();
    let seen: Vec<_> = lanes.iter().map(|lane| (lane.webhook_id, lane.first, lane.closed_for.is_some())).collect();
    assert_eq!(seen, [(busy.id, true, false), (held.id, true, true)]);
    assert_eq!(repository.delivery_waiting().await.unwrap(), 150, "what the paused one hears is kept for it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_takes_no_more_than_it_can_hold_and_leaves_the_rest_to_the_next() {
    const LARGE: usize = 256 << 10;
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let ordered = webhook_with(&repository, ordered()).await;
    let free_one = webhook(&repository, &[]).await;
    let text = "x".repeat(LARGE - 100);
    for number in 0..80 {
        let large = NewEvent::new("large".parse().unwrap(), serde_json::json!({"number": number, "text": text}));
        repository.event_emit(large, &free()).await.unwrap();
    }
    let number = |claimed: &Claimed| claimed.event.payload.value()["number"].as_i64().unwrap();
    let (mut seen, mut in_order) = (Vec::new(), Vec::new());
    repository.directory_refresh().await.unwrap();
    while seen.len() < 80 {
        let places = [Places { webhook_id: free_one.id, tier: Tier::First, count: 80 }];
        let claimed = repository.delivery_claim(&places, MINUTE, &mint()).await.unwrap();
        assert!((1..=65).contains(&claimed.len()), "{} of {LARGE} bytes", claimed.len());
        seen.extend(claimed.iter().map(number));
    }
    while in_order.len() < 80 {
        let claimed = claim_governed(&repository, &ordered, 80, None).await;
        assert!((1..=65).contains(&claimed.len()), "{} of {LARGE} bytes", claimed.len());
        in_order.extend(claimed.iter().map(number));
        let done: Vec<_> = claimed.iter().map(|it| finished(it, Outcome::Delivered, Next::Done)).collect();
        repository.delivery_finish(&done).await.unwrap();
    }
    seen.sort_unstable();
    assert!(seen.into_iter().eq(0..80));
    assert!(in_order.into_iter().eq(0..80), "nothing overtakes what was left");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_what_is_too_much_at_once_every_webhook_gets_its_share() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let large = webhook(&repository, &["large"]).await;
    let small = webhook(&repository, &["small"]).await;
    // So even that a row holds it in less than 2,000 bytes.
    let text = "x".repeat(150_000);
    for _ in 0..150 {
        let told = NewEvent::new("large".parse().unwrap(), serde_json::json!({"text": text}));
        repository.event_emit(told, &free()).await.unwrap();
    }
    for _ in 0..3 {
        repository.event_emit(event("small"), &free()).await.unwrap();
    }
    let claimed = claim_of(&repository, 200).await;
    let of = |webhook: &WebhookRecord| claimed.iter().filter(|it| it.recipient.webhook_id == webhook.id).count();
    assert_eq!(of(&small), 3, "{} others are older", of(&large));
    assert!((100..115).contains(&of(&large)), "{} of 150,000 bytes", of(&large));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_one_is_read_by_nothing_that_others_need() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let stuck = webhook(&repository, &["none"]).await;
    let plain = webhook(&repository, &["x"]).await;
    let in_order = webhook_with(&repository, ordered()).await;
    let rate_limit = Some(RateLimit { limit: 100, per_seconds: 1 });
    let limited = webhook_with(&repository, DeliveryPolicy { rate_limit, ..DeliveryPolicy::default() }).await;
    let client = db.client().await;
    let fill = format!(
        "INSERT INTO deliveries (id, event_id, webhook_id, due_at)
         SELECT uuid_v7(), uuid_v7(), '{}', now() + interval '1 hour' FROM generate_series(1, 50000)",
        stuck.id
    );
    client.batch_execute(&fill).await.unwrap();
    client.batch_execute("VACUUM ANALYZE deliveries").await.unwrap();
    for _ in 0..10 {
        repository.event_emit(event("x"), &free()).await.unwrap();
    }
    assert_eq!(repository.delivery_lanes().await.unwrap().len(), 4);
    assert!(!repository.delivery_place(true).await.unwrap());
    let places = [Places { webhook_id: plain.id, tier: Tier::First, count: 10 }];
    repository.directory_refresh().await.unwrap();
    let mut claimed = repository.delivery_claim(&places, MINUTE, &mint()).await.unwrap();
    claimed.extend(claim_governed(&repository, &in_order, 10, None).await);
    claimed.extend(claim_governed(&repository, &limited, 10, rate_limit).await);
    assert_eq!(claimed.len(), 30);
    let retry = Next::RetryIn(Duration::ZERO, WaitsFor::Schedule);
    let retried: Vec<_> =
        claimed.iter().take(15).map(|it| finished(it, Outcome::Retry { after: None }, retry)).collect();
    let done: Vec<_> = claimed.iter().skip(15).map(|it| finished(it, Outcome::Delivered, Next::Done)).collect();
    repository.delivery_finish(&retried).await.unwrap();
    repository.delivery_finish(&done).await.unwrap();
    let change = WebhookChange { policy: Some(ordered()), ..WebhookChange::default() };
    repository.webhook_update(plain.id, change, None).await.unwrap().unwrap();
    heard(&db).await;
    assert!(repository.delivery_place(true).await.unwrap());
    drop(repository);
    // What a connection has read is told when it ends.
    let others = "SELECT count(*) FROM pg_stat_activity
                  WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
    while client.query_one(others, &[]).await.unwrap().get::<_, i64>(0) > 0 {
        tokio::task::yield_now().await;
    }
    let read = "SELECT seq_tup_read, idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'deliveries'";
    let read = client.query_one(read, &[]).await.unwrap();
    let (one_by_one, by_index): (i64, i64) = (read.get(0), read.get(1));
    assert_eq!(one_by_one, 0, "by looking through the table");
    assert!(by_index < 1_000, "{by_index} by an index");
}
