//! How the service starts: from nothing, again, beside itself, as whom, and with what it cannot use.

use std::fs;
use std::process::Command;

use kos_test_support::process::run;
use kos_test_support::{Process, TestDb};
use nix::unistd::geteuid;
use serde_json::{Value, json};

use crate::world::{World, complained, said};

/// The command that the service prints, as it would be pasted.
fn printed_curl(log: &str) -> String {
    let from = log.find("curl -X POST").expect("a curl is printed");
    log[from..].lines().take(3).collect::<Vec<_>>().join("\n")
}

fn shell(command: &str) -> String {
    let output = Command::new("bash").args(["-c", command]).output().unwrap();
    assert!(output.status.success(), "{command}\n{}", complained(&output));
    said(&output)
}

#[tokio::test]
async fn the_first_start_shows_a_key_and_a_command_that_works_and_the_second_has_the_data() {
    let world = World::bare();
    let first = world.serve();
    first.wait_for("-d '");
    let log = first.log();
    let key = fs::read_to_string(world.dir.path().join("api-key")).unwrap();
    assert!(log.contains(key.trim()), "the first start shows the key");
    assert!(log.contains("migrations applied") && log.contains("/docs/"), "{log}");
    let created: Value = serde_json::from_str(&shell(&printed_curl(&log))).unwrap();
    let id = created["id"].as_str().unwrap();
    assert!(first.terminate().0.success());

    let second = world.serve();
    let client = world.client().with_key(key.trim());
    let (status, knowledge) = client.get(&format!("/knowledge/{id}")).await;
    assert_eq!((status, &knowledge["domain"]), (200, &json!("python")));
    assert_eq!(world.client().with_key("somebody-else-s-key").get("/stats").await.0, 401);
    let log = second.terminate().1;
    assert!(!log.contains(key.trim()) && !log.contains("migrations applied"), "{log}");
}

#[tokio::test]
async fn after_a_kill_the_next_start_has_everything() {
    let world = World::new();
    let killed = world.serve();
    let knowledge = json!({"content": "Written before the kill", "domain": "d", "confidence_score": 1});
    let (_, created) = world.client().post("/knowledge", &knowledge).await;
    killed.kill();
    let server = world.serve();
    let (status, found) = world.client().get(&format!("/knowledge/{}", created["id"].as_str().unwrap())).await;
    assert_eq!((status, &found["content"]), (200, &knowledge["content"]));
    assert!(server.terminate().0.success(), "the Postgres that was left running is stopped with the next server");
    assert!(!world.dir.path().join("pgdata/postmaster.pid").exists());
}

#[tokio::test]
async fn a_second_server_on_the_address_says_so_and_disturbs_nobody() {
    let world = World::new();
    let _first = world.serve();
    let second = run("api-server", &[], &world.settings());
    assert!(!second.status.success());
    let complaint = complained(&second);
    assert!(complaint.contains("is another server running? BIND_ADDR chooses another"), "{complaint}");
    assert_eq!(world.client().get("/readyz").await.0, 200);
}

#[tokio::test]
async fn a_second_server_on_the_data_says_that_it_shares_the_work() {
    let first = World::new();
    let server = first.serve();
    assert!(!server.log().contains("share the work"), "{}", server.log());
    let folder = first.dir.path().to_str().unwrap();
    let second = World::new().with("DATA_DIR", folder);
    let beside = second.serve();
    assert!(
        beside.log().contains("another api-server already serves it, and both share the work\n"),
        "{}",
        beside.log()
    );
    let knowledge = json!({"content": "c", "domain": "d", "confidence_score": 1});
    let (_, created) = second.client().post("/knowledge", &knowledge).await;
    let path = format!("/knowledge/{}", created["id"].as_str().unwrap());
    assert_eq!(first.client().get(&path).await.0, 200);
    assert!(beside.terminate().0.success() && server.terminate().0.success());
}

#[tokio::test]
async fn nobody_can_write_errors_into_the_log_from_outside() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let world = World::new();
    let server = world.serve();
    let endless = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(70_000));
    let oversized = format!("GET / HTTP/1.1\r\nx: {}", "x".repeat(200_000));
    for request in [endless.as_str(), &oversized, "no request\r\n\r\n", "GET / HTTP/9.9\r\n\r\n"] {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
        // It may hang up before it has read everything.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    assert_eq!(world.client().get("/readyz").await.0, 200);
    let (_, log) = server.terminate();
    assert!(!log.contains("ERROR"), "{log}");
}

#[tokio::test]
async fn an_ordinary_user_can_start_it_too() {
    if !geteuid().is_root() {
        // Then every other story here shows it.
        return;
    }
    let folder = tempfile::Builder::new().permissions(public()).tempdir().unwrap();
    let home = folder.path().join("home");
    fs::create_dir(&home).unwrap();
    fs::set_permissions(&home, world_writable()).unwrap();
    let world = World::new();
    let mut settings = world.settings();
    settings.retain(|(name, _)| *name != "DATA_DIR");
    settings.push(("HOME", home.to_str().unwrap()));
    let server = Process::start_as_nobody("api-server", folder.path(), &settings);
    server.wait_for("try it");
    assert!(home.join(".local/share/knowledge-os/pgdata").exists());
    assert_eq!(world.client().get("/readyz").await.0, 200);
    assert!(server.terminate().0.success());
}

fn public() -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o755)
}

fn world_writable() -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o777)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_named_is_used_and_migrated_once() {
    let db = TestDb::empty().await;
    let world = World::new().with("DATABASE_URL", db.url());
    let migrated = run("api-server", &["migrate"], &world.settings());
    assert!(said(&migrated).starts_with("applied "), "{}", complained(&migrated));
    let again = run("api-server", &["migrate"], &world.settings());
    assert_eq!(said(&again), "the database is up to date\n");
    let server = world.serve();
    assert!(server.log().contains("Postgres of DATABASE_URL\n"), "{}", server.log());
    assert!(!world.dir.path().join("pgdata").exists());
    assert_eq!(world.client().get("/health").await.1["database"], "pass");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_will_never_let_us_in_is_told_at_once() {
    let db = TestDb::empty().await;
    let (server, _) = db.url().rsplit_once('/').unwrap();
    let world = World::new().with("DATABASE_URL", &format!("{server}/no_such_database"));
    let refused = run("api-server", &[], &world.settings());
    assert!(!refused.status.success());
    let complaint = complained(&refused);
    assert!(complaint.contains("Postgres refuses this user, password or database"), "{complaint}");
    assert!(complaint.contains("no_such_database") && !complaint.contains("trying again"), "{complaint}");
}

#[test]
fn an_address_that_is_none_is_refused_before_anything_is_tried() {
    let world = World::bare().with("DATABASE_URL", "postgres");
    let refused = run("api-server", &["check-config"], &world.settings());
    assert!(complained(&refused).contains("\n  DATABASE_URL: "), "{}", complained(&refused));
}

#[test]
fn a_folder_that_is_somebody_elses_keeps_its_mode() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new();
    fs::write(world.dir.path().join("theirs"), "").unwrap();
    fs::set_permissions(world.dir.path(), world_writable()).unwrap();
    assert!(run("api-server", &["migrate"], &world.settings()).status.success());
    assert_eq!(fs::metadata(world.dir.path()).unwrap().permissions().mode() & 0o777, 0o777);
}

#[test]
fn settings_that_cannot_be_used_are_told_at_once_and_by_name() {
    let world = World::bare().with("API_KEY", "short").with("TIME_ZONE", "Moscow").with("ENCRYPTION_KEYS", "AAAA");
    let world = world.with("LOG", "info=loud").with("LOG_FORMAT", "xml");
    for command in [&[][..], &["check-config"]] {
        let refused = run("api-server", command, &world.settings());
        assert!(!refused.status.success());
        let complaint = complained(&refused);
        for name in ["API_KEY", "TIME_ZONE", "ENCRYPTION_KEYS", "LOG", "LOG_FORMAT"] {
            assert!(complaint.contains(&format!("\n  {name}: must ")), "{complaint}");
        }
    }
    assert!(!world.dir.path().join("pgdata").exists(), "nothing was begun");
}

#[test]
fn a_machine_without_postgres_is_told_what_mends_it() {
    let world = World::new();
    let empty = world.dir.path().to_str().unwrap();
    let mut settings = world.settings();
    settings.push(("PG_BIN_DIR", empty));
    let refused = run("api-server", &[], &settings);
    assert!(!refused.status.success());
    let complaint = complained(&refused);
    assert!(complaint.contains("apt-get install --no-install-recommends postgresql"), "{complaint}");
}

#[tokio::test]
async fn keys_that_do_not_open_what_is_stored_are_refused_before_anything_is_sent() {
    let world = World::new();
    let server = world.serve();
    world.register("http://127.0.0.1:9/hook").await;
    assert!(server.terminate().0.success());
    let world = world.with("ENCRYPTION_KEYS", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    let refused = run("api-server", &[], &world.settings());
    assert!(!refused.status.success());
    assert!(complained(&refused).contains("key"), "{}", complained(&refused));
}
