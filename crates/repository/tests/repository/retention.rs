//! Days: made ahead, dropped after their time; thirty of them leave the tables as large as one.

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use kos_repository::{DeliveryFilter, DeliveryState, Repository, Retention};
use kos_test_support::TestDb;

use crate::builders::{claim, event, free, leased, repository, webhook};

const RETENTION: Retention = Retention { events: 30, logs: 14 };

async fn count(db: &TestDb, sql: &str) -> i64 {
    db.client().await.query_one(sql, &[]).await.unwrap().get(0)
}

async fn partitions(db: &TestDb, table: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM pg_inherits WHERE inhparent = '{table}'::regclass");
    count(db, &sql).await - 1
}

fn noon() -> DateTime<Utc> {
    chrono::Local::now().to_utc().date_naive().and_time(NaiveTime::from_hms_opt(12, 0, 0).unwrap()).and_utc()
}

/// A day's worth of events and attempts, made at that time.
async fn a_day_happens(db: &TestDb, at: DateTime<Utc>) {
    let sql = format!(
        "INSERT INTO events (id, event_type, payload, created_at)
         SELECT overlay(uuid_v7()::text PLACING left(uuid_v7_floor('{at}'::timestamptz + n * interval '1 s')::text, 13) FROM 1)::uuid,
                'x', '{{}}', '{at}' FROM generate_series(1, 200) AS n;
         INSERT INTO webhook_logs (id, webhook_id, delivery_id, event_id, event_type, attempt, outcome, success, duration_ms)
         SELECT id, gen_random_uuid(), id, id, 'x', 1, 'delivered', true, 1 FROM events WHERE created_at = '{at}'"
    );
    db.client().await.batch_execute(&sql).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn after_sixty_days_there_is_as_much_as_after_thirty() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let mut sizes = Vec::new();
    for day in 0..60 {
        let now = noon() + TimeDelta::days(day);
        repository.partitions_keep(now, RETENTION).await.unwrap();
        a_day_happens(&db, now).await;
        let rows =
            (count(&db, "SELECT count(*) FROM events").await, count(&db, "SELECT count(*) FROM webhook_logs").await);
        sizes.push((rows, partitions(&db, "events").await, partitions(&db, "webhook_logs").await));
        assert_eq!(count(&db, "SELECT count(*) FROM events_default").await, 0, "day {day}");
    }
    assert_eq!(sizes[59], ((31 * 200, 15 * 200), 31 + 7, 15 + 7), "today, the days that are kept, and the days ahead");
    assert_eq!(sizes[40], sizes[59]);
}

#[tokio::test(flavor = "multi_thread")]
async fn days_that_nobody_prepared_lose_nothing_and_are_put_in_order_later() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let later = noon() + TimeDelta::days(12);
    a_day_happens(&db, later).await;
    assert_eq!(count(&db, "SELECT count(*) FROM events_default").await, 200);
    repository.partitions_keep(later, RETENTION).await.unwrap();
    assert_eq!(count(&db, "SELECT count(*) FROM events_default").await, 0);
    assert_eq!(count(&db, "SELECT count(*) FROM events").await, 200);
    assert_eq!(count(&db, "SELECT count(*) FROM webhook_logs").await, 200);
    repository.partitions_keep(later + TimeDelta::days(40), RETENTION).await.unwrap();
    assert_eq!(count(&db, "SELECT count(*) FROM events").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_longer_than_events_are_kept_ends_where_people_see_it() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let paused = webhook(&repository, &[]).await;
    repository.webhook_pause(paused.id).await.unwrap();
    repository.event_emit(event("x"), &free()).await.unwrap();
    let aged = "UPDATE deliveries SET event_id = uuid_v7_floor(now() - interval '32 days')";
    db.client().await.batch_execute(aged).await.unwrap();
    let kept = repository.partitions_keep(noon(), RETENTION).await.unwrap();
    assert_eq!((kept.expired, repository.delivery_waiting().await.unwrap()), (1, 0));
    let ended =
        repository.delivery_list(DeliveryFilter { ended: true, ..DeliveryFilter::default() }, None, 9).await.unwrap();
    assert_eq!(ended.iter().map(|it| it.state).collect::<Vec<_>>(), [DeliveryState::Expired]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_of_what_lost_its_event_ends_it_and_takes_the_rest() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    webhook(&repository, &[]).await;
    for _ in 0..2 {
        repository.event_emit(event("x"), &free()).await.unwrap();
    }
    db.client()
        .await
        .batch_execute("DELETE FROM events WHERE id = (SELECT id FROM events ORDER BY id LIMIT 1)")
        .await
        .unwrap();
    assert_eq!(claim(&repository).await.len(), 1);
    assert_eq!(repository.delivery_waiting().await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_keep_house_at_once_do_not_get_in_each_other_s_way() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let later = noon() + TimeDelta::days(20);
    let round = |repository: Repository| async move { repository.partitions_keep(later, RETENTION).await };
    let rounds = futures_util::future::join_all((0..4).map(|_| round(repository.clone()))).await;
    assert!(rounds.iter().any(Result::is_ok), "{rounds:?}");
    repository.partitions_keep(later, RETENTION).await.unwrap();
    assert_eq!(repository.partitions_keep(later, RETENTION).await.unwrap(), kos_repository::Kept::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_stored_while_days_are_made_and_dropped() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    webhook(&repository, &[]).await;
    let writer = repository.clone();
    let writing = tokio::spawn(async move {
        for _ in 0..300 {
            writer.event_emit(event("x"), &leased()).await.unwrap();
        }
    });
    for day in 0..20 {
        repository.partitions_keep(noon() + TimeDelta::days(day), RETENTION).await.unwrap();
    }
    writing.await.unwrap();
    assert_eq!(count(&db, "SELECT count(*) FROM events").await, 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_to_a_day_that_nobody_prepared_is_there_when_the_day_is_made() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let later = noon() + TimeDelta::days(12);
    let mut client = db.client().await;
    let tx = client.transaction().await.unwrap();
    let sql = format!("INSERT INTO events (id, event_type, payload) VALUES (uuid_v7_floor('{later}'), 'x', '{{}}')");
    tx.batch_execute(&sql).await.unwrap();
    let keeping = tokio::spawn(async move { repository.partitions_keep(later, RETENTION).await });
    let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    while count(&db, waits).await == 0 {
        assert!(!keeping.is_finished(), "it must wait for whoever writes");
    }
    tx.commit().await.unwrap();
    keeping.await.unwrap().unwrap();
    assert_eq!(count(&db, "SELECT count(*) FROM events_default").await, 0);
    assert_eq!(count(&db, "SELECT count(*) FROM events").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_that_is_full_before_it_is_made_stays_where_it_is_until_its_time_is_over() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let later = noon() + TimeDelta::days(12);
    a_day_happens(&db, later).await;
    let add = |most: u32| format!("SELECT partition_add('events', '{}', {most})::integer::bigint", later.date_naive());
    assert_eq!(count(&db, &add(199)).await, 0, "too many to be moved while others wait");
    assert_eq!(count(&db, "SELECT count(*) FROM events_default").await, 200);
    assert_eq!(count(&db, &add(200)).await, 1);
    assert_eq!(count(&db, "SELECT count(*) FROM events_default").await, 0);
    a_day_happens(&db, later + TimeDelta::days(30)).await;
    repository.partitions_keep(later + TimeDelta::days(100), RETENTION).await.unwrap();
    assert_eq!(count(&db, "SELECT count(*) FROM events").await, 0);
}
