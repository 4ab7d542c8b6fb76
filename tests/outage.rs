//! Postgres goes away and comes back under a running server.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use kos_repository::embedded::Embedded;
use kos_test_support::Receiver;
use kos_test_support::database::config;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn without_its_database_the_service_says_so_and_is_back_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let postgres = Embedded::start(&config(dir.path())).unwrap();
    let world = World::new().with("DATABASE_URL", &postgres.database_url());
    let server = world.serve();
    let client = world.client();
    let mut receiver = Receiver::start().await;
    let webhook = world.register(&receiver.url("/hook")).await;
    let event = |number: u32| json!({"event_type": "numbered", "payload": {"number": number}});

    // One message is on its way when the database goes; its outcome can only be written afterwards.
    receiver.hold();
    assert_eq!(client.post("/events", &event(1)).await.0, 202);
    receiver.next().await;
    postgres.stop().unwrap();
    receiver.release();
    for (status, problem) in [client.post("/events", &event(2)).await, client.get("/readyz").await] {
        assert_eq!((status, &problem["status"]), (503, &json!(503)), "{problem}");
    }
    assert_eq!(client.get("/livez").await.0, 200);

    let postgres = Embedded::start(&config(dir.path())).unwrap();
    while client.get("/readyz").await.0 != 200 {}
    let (status, answer) = client.post("/events", &event(3)).await;
    assert_eq!(status, 202, "{answer}");
    let mut arrived = vec![receiver.next().await];
    while arrived.last().unwrap().json()["payload"]["number"] != 3 {
        arrived.push(receiver.next().await);
    }
    world.settled().await;
    arrived.extend(receiver.drain());
    let logs = client.get(&format!("/webhooks/{webhook}/logs")).await.1;
    let outcomes: Vec<_> = logs["data"].as_array().unwrap().iter().map(|log| &log["success"]).collect();
    // The second may have been stored in spite of the 503, as that says.
    assert_eq!(outcomes, vec![true; 1 + arrived.len()], "{logs}");
    let messages: HashSet<_> = arrived.iter().map(|message| message.header("webhook-id")).collect();
    assert_eq!(messages.len(), arrived.len(), "nothing was sent twice");
    assert!(server.terminate().0.success());
    postgres.stop().unwrap();
}

#[tokio::test]
async fn a_database_that_is_frozen_keeps_nobody_waiting() {
    let world = World::new();
    let server = world.serve();
    let client = world.client();
    let mut receiver = Receiver::start().await;
    world.register(&receiver.url("/hook")).await;
    let postgres = postmaster(world.dir.path());
    let event = |name: &str| json!({"event_type": name});

    signal_all(postgres, Signal::SIGSTOP);
    for (status, problem) in [client.post("/events", &event("unsure")).await, client.get("/stats").await] {
        assert_eq!((status, &problem["title"]), (503, &json!("The database is not available")), "{problem}");
    }
    assert_eq!(client.get("/livez").await.0, 200);
    signal_all(postgres, Signal::SIGCONT);

    while client.get("/readyz").await.0 != 200 {}
    assert_eq!(client.post("/events", &event("sure")).await.0, 202);
    while receiver.next().await.json()["event_type"] != "sure" {}
    assert!(server.terminate().0.success());
}

/// The Postgres in a folder, as its own file says.
pub(crate) fn postmaster(dir: &Path) -> Pid {
    let file = fs::read_to_string(dir.join("pgdata/postmaster.pid")).unwrap();
    Pid::from_raw(file.lines().next().unwrap().parse().unwrap())
}

/// Sends a signal to a process, and then to its children.
fn signal_all(process: Pid, signal: Signal) {
    kill(process, signal).unwrap();
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap();
    for child in children.split_whitespace() {
        // One that has just ended needs no signal.
        let _ = kill(Pid::from_raw(child.parse().unwrap()), signal);
    }
}

#[tokio::test]
async fn an_embedded_postgres_that_dies_is_started_again() {
    let world = World::new();
    let server = world.serve();
    let mut receiver = Receiver::start().await;
    world.register(&receiver.url("/hook")).await;
    kill(postmaster(world.dir.path()), Signal::SIGKILL).unwrap();
    server.wait_for("the embedded Postgres had died; it runs again");
    let event = json!({"event_type": "after_the_fall"});
    while world.client().post("/events", &event).await.0 != 202 {}
    assert_eq!(receiver.next().await.json()["event_type"], "after_the_fall");
    assert!(server.terminate().0.success());
}
