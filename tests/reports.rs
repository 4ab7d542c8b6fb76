//! The reporter, as cron runs it: beside a server or alone, once or too often.

use kos_test_support::process::run;
use kos_test_support::{Receiver, TestDb};
use serde_json::{Value, json};

use crate::world::{World, complained, said};

/// A knowledge base with one webhook and, on Monday 24 November 2025, one piece of knowledge; its
/// server is gone.
struct LeftAlone {
    world: World,
    receiver: Receiver,
    _db: TestDb,
}

impl LeftAlone {
    async fn new() -> Self {
        let (db, receiver) = (TestDb::new().await, Receiver::start().await);
        let world = World::new().with("DATABASE_URL", db.url()).with("TIME_ZONE", "UTC").with("LOCALE", "en");
        let server = world.serve();
        let knowledge = json!({"content": "c", "domain": "d", "confidence_score": 1});
        assert_eq!(world.client().post("/knowledge", &knowledge).await.0, 201);
        world.register(&receiver.url("/hook")).await;
        assert!(server.terminate().0.success());
        let moved = "UPDATE knowledge SET created_at = '2025-11-24 12:00Z'; UPDATE domains SET created_at = '2025-11-24 12:00Z'";
        db.client().await.batch_execute(moved).await.unwrap();
        Self { world, receiver, _db: db }
    }

    /// Runs the reporter, which must succeed; returns what it said.
    fn report(&self, arguments: &[&str]) -> String {
        let output = run("reporter", arguments, &self.world.settings());
        assert!(output.status.success(), "{arguments:?}: {}", complained(&output));
        said(&output)
    }

    fn received(&mut self) -> Vec<Value> {
        self.receiver.drain().iter().map(|message| message.json()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_goes_out_once_however_often_cron_fires_and_without_a_server() {
    let mut left = LeftAlone::new().await;
    assert!(left.report(&["due", "--dry-run"]).contains("New knowledge"));
    assert!(left.received().is_empty(), "a dry run sends nothing");
    for _ in 0..3 {
        left.report(&["due"]);
    }
    let sent = left.received();
    let mut kinds: Vec<_> = sent.iter().map(|message| message["event_type"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["daily_report", "weekly_report"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn reporters_that_run_at_once_send_one_report() {
    let mut left = LeftAlone::new().await;
    let settings = left.world.settings();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert!(run("reporter", &["due"], &settings).status.success()));
        }
    });
    assert_eq!(left.received().len(), 2, "one daily and one weekly");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_that_was_missed_is_reported_by_its_date_and_again_only_when_forced() {
    let mut left = LeftAlone::new().await;
    assert!(left.report(&["daily", "--date", "2025-11-24", "--dry-run"]).contains("New knowledge: 1"));
    assert!(left.report(&["daily", "--date", "2025-11-25", "--dry-run"]).contains("New knowledge: 0"));
    left.report(&["daily", "--date", "2025-11-24"]);
    assert!(left.report(&["daily", "--date", "2025-11-24"]).contains("was sent before; --force sends it again"));
    assert_eq!(left.received().len(), 1);
    left.report(&["daily", "--date", "2025-11-24", "--force"]);
    // Any day of a week names it: the 26th lies in the week of Monday the 24th.
    left.report(&["weekly", "--date", "2025-11-26"]);
    let sent = left.received();
    let starts: Vec<_> = sent
        .iter()
        .map(|message| (&message["event_type"], &message["payload"]["report"]["figures"]["new_knowledge"]["value"]))
        .collect();
    assert_eq!(starts, [(&json!("daily_report"), &json!(1)), (&json!("weekly_report"), &json!(1))], "{sent:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_period_that_is_not_over_is_refused_in_words() {
    let left = LeftAlone::new().await;
    let refused = run("reporter", &["daily", "--date", "2999-01-01"], &left.world.settings());
    assert!(!refused.status.success());
    assert!(
        complained(&refused).contains("the daily period of 2999-01-01 is not over yet"),
        "{}",
        complained(&refused)
    );
}

#[test]
fn the_line_for_cron_runs_the_reporter_that_printed_it() {
    let world = World::new();
    let output = run("reporter", &["crontab", "--env-file", "/etc/kos.env"], &world.settings());
    let line = said(&output);
    assert!(line.contains("*/5 * * * * ") && line.contains("/etc/kos.env") && line.contains("/reporter due"), "{line}");
}
