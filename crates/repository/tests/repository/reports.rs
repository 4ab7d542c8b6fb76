//! Reports: counted by their period, made once.

use chrono::{NaiveDate, TimeZone, Utc};
use kos_repository::{Counted, ReportClaim};
use kos_test_support::TestDb;

use crate::builders::{event, free, repository, webhook};

const DAY: NaiveDate = NaiveDate::from_ymd_opt(2025, 11, 24).unwrap();

fn claim(again: bool) -> ReportClaim<'static> {
    ReportClaim { kind: "daily", period_start: DAY, time_zone: "Europe/Moscow", again }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_made_once_however_many_ask_for_it_at_once() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    webhook(&repository, &["daily_report"]).await;
    let terms = free();
    let asked = (0..8).map(|_| repository.report_emit(claim(false), event("daily_report"), &terms));
    let made = futures_util::future::join_all(asked).await;
    assert_eq!(made.iter().filter(|made| made.as_ref().unwrap().is_some()).count(), 1);
    assert_eq!(repository.delivery_waiting().await.unwrap(), 1, "those who came late left nothing behind");
    assert_eq!(repository.report_made("daily").await.unwrap(), [DAY]);
    assert_eq!(repository.report_made("weekly").await.unwrap(), []);
    assert!(repository.report_emit(claim(true), event("daily_report"), &terms).await.unwrap().is_some());
    assert_eq!(repository.delivery_waiting().await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_at_the_end_of_a_period_belongs_to_the_next() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    db.client()
        .await
        .batch_execute(
            "INSERT INTO experts (name, created_at) VALUES ('a', '2025-11-01Z'), ('b', '2025-11-25T00:00Z');
             INSERT INTO knowledge (content, content_hash, created_at) VALUES
                 ('in', '1', '2025-11-24T00:00Z'), ('in', '2', '2025-11-24T23:59:59.999Z'), ('out', '3', '2025-11-25T00:00Z');
             INSERT INTO tasks (title, status, completed_at) VALUES ('t', 'completed', '2025-11-24T12:00Z'), ('p', 'pending', NULL);
             INSERT INTO interactions (query, feedback_score, created_at) VALUES
                 ('q', 5, '2025-11-24T01:00Z'), ('q', 4, '2025-11-24T02:00Z'), ('q', NULL, '2025-11-24T03:00Z');",
        )
        .await
        .unwrap();
    let start = Utc.with_ymd_and_hms(2025, 11, 24, 0, 0, 0).unwrap();
    let end = Utc.with_ymd_and_hms(2025, 11, 25, 0, 0, 0).unwrap();
    let expected = Counted {
        new_knowledge: 2,
        completed_tasks: 1,
        interactions: 3,
        average_feedback: Some(4.5),
        feedback_count: 2,
        experts: 1,
        domains: 0,
    };
    assert_eq!(repository.report_count(start, end).await.unwrap(), expected);
}
