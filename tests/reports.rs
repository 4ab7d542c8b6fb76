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

#[tokio::test(flavor = "multi_thread")]
async fn what_came_of_a_report_is_told() {
    let left = LeftAlone::new().await;
    left.receiver.answer(kos_test_support::receiver::Answer::new(400, "no"));
    let told = left.report(&["daily", "--date", "2025-11-24"]);
    assert!(told.contains("the daily report of 2025-11-24: delivered to 0 of 1 webhooks, 1 will be retried"), "{told}");
    left.receiver.answer(kos_test_support::receiver::Answer::new(200, "ok"));
    let told = left.report(&["daily", "--date", "2025-11-23"]);
    assert!(told.contains("the daily report of 2025-11-23: delivered to 1 of 1 webhooks\n"), "{told}");
}

#[test]
fn a_reporter_that_finds_no_knowledge_base_makes_none_and_fails() {
    let world = World::bare();
    for command in [&["due"][..], &["daily"], &["weekly", "--dry-run"]] {
        let refused = run("reporter", command, &world.settings());
        assert!(!refused.status.success());
        assert!(complained(&refused).contains("holds no knowledge base: set DATA_DIR"), "{}", complained(&refused));
    }
    assert_eq!(std::fs::read_dir(world.dir.path()).unwrap().count(), 0, "nothing was made");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reporter_before_an_empty_database_leaves_it_empty_and_fails() {
    let db = TestDb::empty().await;
    let world = World::new().with("DATABASE_URL", db.url());
    let refused = run("reporter", &["due"], &world.settings());
    assert!(!refused.status.success());
    assert!(complained(&refused).contains("start api-server once"), "{}", complained(&refused));
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(db.client().await.query_one(tables, &[]).await.unwrap().get::<_, i64>(0), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_line_for_cron_works_as_it_is_printed() {
    // On the embedded Postgres, whose folder the line must name.
    let world = World::new();
    let server = world.serve();
    let (status, _) =
        world.client().post("/webhooks", &json!({"webhook_type": "custom", "url": "http://127.0.0.1:9/"})).await;
    assert_eq!(status, 201);
    assert!(server.terminate().0.success());
    let env_file = world.dir.path().join("the settings");
    std::fs::write(&env_file, "LOCALE=en\nEGRESS_ALLOW=127.0.0.0/8\n").unwrap();
    let output = run("reporter", &["crontab", "--env-file", env_file.to_str().unwrap()], &world.settings());
    let printed = said(&output);
    let command = printed.lines().last().unwrap().strip_prefix("*/5 * * * * ").unwrap();
    // As cron runs it: a bare environment, a POSIX shell.
    let fired =
        std::process::Command::new("/bin/sh").args(["-c", command]).env_clear().current_dir("/").output().unwrap();
    assert!(fired.status.success(), "{}", complained(&fired));
    assert!(said(&fired).contains("will be retried"), "{}", said(&fired));
}

#[test]
fn a_line_for_cron_whose_settings_are_not_there_is_refused() {
    let refused = run("reporter", &["crontab", "--env-file", "/nowhere/env"], &World::new().settings());
    assert!(complained(&refused).contains("there is no file /nowhere/env"), "{}", complained(&refused));
}
