//! Postgres goes away and comes back under a running server.

use std::fs;

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
    assert_eq!(client.post("/events", &event(3)).await.0, 202);
    assert_eq!(receiver.next().await.json()["payload"]["number"], 3);
    world.settled().await;
    let logs = client.get(&format!("/webhooks/{webhook}/logs")).await.1;
    let outcomes: Vec<_> = logs["data"].as_array().unwrap().iter().map(|log| &log["success"]).collect();
    assert_eq!(outcomes, [true, true], "{logs}");
    assert!(receiver.drain().is_empty(), "nothing was sent twice");
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
    let postgres = postmaster(&world);
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

/// The world's own Postgres, as its own file says.
fn postmaster(world: &World) -> Pid {
    let file = fs::read_to_string(world.dir.path().join("pgdata/postmaster.pid")).unwrap();
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
    kill(postmaster(&world), Signal::SIGKILL).unwrap();
    server.wait_for("the embedded Postgres had died; it runs again");
    let event = json!({"event_type": "after_the_fall"});
    while world.client().post("/events", &event).await.0 != 202 {}
    assert_eq!(receiver.next().await.json()["event_type"], "after_the_fall");
    assert!(server.terminate().0.success());
}
