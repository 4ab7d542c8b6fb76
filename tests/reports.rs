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
    db: TestDb,
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
        Self { world, receiver, db }
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
    let shown = left.report(&["due", "--dry-run"]);
    let (daily, weekly) = shown.split_once("\n\n📈 Weekly report\n").unwrap();
    assert!(daily.starts_with("📊 Daily report\n") && daily.contains("New knowledge"), "{shown}");
    assert!(weekly.contains("New knowledge"), "{shown}");
    assert!(left.received().is_empty(), "a dry run sends nothing");
    for _ in 0..3 {
        left.report(&["due"]);
    }
    assert_eq!(left.report(&["due", "--dry-run"]), "nothing is due\n");
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
async fn a_report_is_told_of_once_nobody_has_a_part_of_it_in_hand_any_more() {
    let mut left = LeftAlone::new().await;
    let client = left.db.client().await;
    let mut webhooks = vec![client.query_one("SELECT id::text FROM webhooks", &[]).await.unwrap().get::<_, String>(0)];
    let server = left.world.serve();
    for path in ["/second", "/third"] {
        webhooks.push(left.world.register(&left.receiver.url(path)).await);
    }
    assert!(server.terminate().0.success());
    // Another process takes what goes to the first webhook before the reporter can, and dies with it in hand.
    let theirs = format!(
        "CREATE FUNCTION theirs() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN NEW.lease_token = 1; NEW.due_at = now() + interval '1 second'; RETURN NEW; END $$;
         CREATE TRIGGER theirs BEFORE INSERT ON deliveries
         FOR EACH ROW WHEN (NEW.webhook_id = '{}') EXECUTE FUNCTION theirs()",
        webhooks[0]
    );
    client.batch_execute(&theirs).await.unwrap();
    let told = left.report(&["daily", "--date", "2025-11-24"]);
    assert_eq!(told, "the daily report of 2025-11-24: delivered to 3 of 3 webhooks\n");
    assert_eq!(left.received().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hole_between_two_reports_is_told_with_the_command_that_fills_it() {
    let mut left = LeftAlone::new().await;
    left.world = left.world.with("DAILY_REPORT_AT", "0 0 * * *");
    let day = |back: u64| (chrono::Local::now().to_utc().date_naive() - chrono::Days::new(back)).to_string();
    for back in [6, 2] {
        left.report(&["daily", "--date", &day(back)]);
    }
    let told = left.report(&["due"]);
    let (first, last) = (day(5), day(4));
    let left_out = format!("the daily reports of {first} to {last} are left out");
    assert!(told.contains(&left_out) && told.contains(&format!("`reporter daily --date {first}` sends")), "{told}");
    for back in [3, 1] {
        assert!(told.contains(&format!("the daily report of {}: delivered", day(back))), "{told}");
    }
    assert_eq!(left.report(&["due"]), "", "once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_that_was_missed_is_reported_by_its_date_and_again_only_when_forced() {
    let mut left = LeftAlone::new().await;
    assert!(left.report(&["daily", "--date", "2025-11-24", "--dry-run"]).contains("New knowledge: 1"));
    assert!(left.report(&["daily", "--date", "2025-11-25", "--dry-run"]).contains("New knowledge: 0"));
    left.report(&["daily", "--date", "2025-11-24"]);
    assert!(
        left.report(&["daily", "--date", "2025-11-24"])
            .contains("was sent before; `reporter daily --date 2025-11-24 --force` sends it")
    );
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
    // As systemd reads it: a shell would take these apart.
    let settings = "LOCALE=en\nEGRESS_ALLOW=127.0.0.0/8, ::1\nDAILY_REPORT_AT=0 0 * * *\nOTHER=$(exit 1) & exit 1\n";
    std::fs::write(&env_file, settings).unwrap();
    let output = run("reporter", &["crontab", "--env-file", env_file.to_str().unwrap()], &world.settings());
    let printed = said(&output);
    assert!(complained(&output).ends_with("without them:\n#   EGRESS_ALLOW\n"), "{}", complained(&output));
    let command = printed.lines().last().unwrap().strip_prefix("*/5 * * * * ").unwrap();
    // As cron runs it: a bare environment, a POSIX shell.
    let fired =
        std::process::Command::new("/bin/sh").args(["-c", command]).env_clear().current_dir("/").output().unwrap();
    assert!(fired.status.success(), "{}", complained(&fired));
    assert!(said(&fired).contains("will be retried"), "{}", said(&fired));
}

#[test]
fn a_file_of_settings_that_is_not_there_is_refused_by_its_path() {
    for program in [&["reporter", "crontab"][..], &["reporter", "due"], &["api-server", "check-config"]] {
        let mut arguments = program[1..].to_vec();
        arguments.extend(["--env-file", "/nowhere/env"]);
        let refused = run(program[0], &arguments, &World::new().settings());
        assert!(!refused.status.success());
        assert!(complained(&refused).contains("there is no file /nowhere/env: make it"), "{}", complained(&refused));
    }
}

#[test]
fn the_line_for_cron_says_which_settings_it_does_not_carry_and_no_secret() {
    let world = World::new().with("DATABASE_URL", "postgres://u:canary@h/d").with("TIME_ZONE", "UTC");
    let arguments = ["--daily-at", "0 7 * * *", "crontab"];
    let output = run("reporter", &arguments, &world.settings());
    let told = complained(&output);
    for name in ["DATABASE_URL", "EGRESS_ALLOW", "TIME_ZONE", "DAILY_REPORT_AT"] {
        assert!(told.contains(&format!("#   {name}\n")), "{told}");
    }
    for other in ["canary", "DATA_DIR", "LOCALE", "API_KEY"] {
        assert!(!told.contains(other), "{told}");
    }
    assert!(told.lines().all(|line| line.starts_with('#')), "it may be pasted with the line: {told}");
    let file = world.dir.path().join("env");
    let settings = "DATABASE_URL=postgres://u:canary@h/d\nTIME_ZONE=UTC\nEGRESS_ALLOW=127.0.0.0/8\n\
                    DAILY_REPORT_AT=0 7 * * *\n";
    std::fs::write(&file, settings).unwrap();
    let arguments = ["--daily-at", "0 7 * * *", "--env-file", file.to_str().unwrap(), "crontab"];
    let output = run("reporter", &arguments, &world.settings());
    assert_eq!(complained(&output), "", "the file has it all");
    assert!(said(&output).contains(&format!("--env-file {} --data-dir", file.display())), "{}", said(&output));
}

#[test]
fn a_flag_and_the_environment_win_over_the_file() {
    let world = World::new().with("TIME_ZONE", "Moscow");
    let file = world.dir.path().join("env");
    std::fs::write(&file, "TIME_ZONE=UTC\nLOCALE=de\nLOG=info=loud\nDATABASE_CONNECTIONS=0\nDATA_DIR=\n").unwrap();
    let arguments = ["--database-connections", "5", "--env-file", file.to_str().unwrap(), "check-config"];
    let told = complained(&run("reporter", &arguments, &world.settings()));
    for name in ["TIME_ZONE", "LOCALE", "LOG"] {
        assert!(told.contains(&format!("\n  {name}: must ")), "every fault at once: {told}");
    }
    assert!(!told.contains("DATABASE_CONNECTIONS"), "{told}");
}
