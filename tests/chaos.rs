//! What takes minutes: faults again and again under load. `make chaos` runs these and prints what they counted.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use kos_repository::embedded::{Config, Embedded};
use kos_test_support::database::config;
use kos_test_support::{Receiver, TestDb};
use nix::sys::signal::{Signal, kill};
use serde_json::json;
use tokio::task::block_in_place;
use tokio::time::sleep;

use crate::crash::{IN_FLIGHT, any_below, kill_again_and_again, roll_two_servers};
use crate::load::{Listeners, Load};
use crate::outage::postmaster;
use crate::world::World;

/// A lease, and what it takes to notice that it is over.
const LEASE: Duration = Duration::from_secs(60 + 5);

#[ignore = "minutes: make chaos"]
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_kills() {
    kill_again_and_again(100).await;
}

#[ignore = "minutes: make chaos"]
#[tokio::test(flavor = "multi_thread")]
async fn twenty_rolls() {
    roll_two_servers(20).await;
}

#[ignore = "minutes: make chaos"]
#[tokio::test(flavor = "multi_thread")]
async fn postgres_stopped_hard_twenty_times() {
    const STOPS: usize = 20;
    let dir = tempfile::tempdir().unwrap();
    // With every setting as in operation: what is committed must be on disk.
    let config = Config { settings: Vec::new(), ..config(dir.path()) };
    let postgres = Embedded::start(&config).unwrap();
    let world = World::new().with("DATABASE_URL", &postgres.database_url());
    let server = world.serve();
    let mut listeners = Listeners::register(&world).await;
    let mut load = Load::start(&[world.client()], &Arc::new(AtomicU64::new(0)));
    let mut accepted = Vec::new();
    for _ in 0..STOPS {
        for _ in 0..=any_below(500) {
            accepted.push(load.next().await);
        }
        kill(postmaster(dir.path()), Signal::SIGQUIT).unwrap();
        block_in_place(|| while !postgres.ensure_running().unwrap() {});
    }
    let (rest, slowest) = load.stop().await;
    accepted.extend(rest);
    listeners.account(&world, &accepted).await;
    assert!(server.terminate().0.success());
    println!(
        "{STOPS} hard stops of Postgres: {} events accepted, {} messages, {} repeated, slowest answer {slowest:?}",
        accepted.len(),
        listeners.messages(),
        listeners.repeats()
    );
}

#[ignore = "minutes: make chaos"]
#[tokio::test(flavor = "multi_thread")]
async fn connections_cut_five_times_a_second_for_a_minute() {
    let db = TestDb::new().await;
    let world = World::new().with("DATABASE_URL", db.url());
    let server = world.serve();
    let mut listeners = Listeners::register(&world).await;
    let mut load = Load::start(&[world.client()], &Arc::new(AtomicU64::new(0)));
    let (cutter, client) = (db.client().await, world.client());
    let mut bystanders = Receiver::start().await;
    let cutting = async {
        for number in 0..300 {
            // Webhooks come and change meanwhile, and what is cut short must be as if it had never been.
            if number % 5 == 0 {
                let webhook = json!({"webhook_type": "custom", "url": bystanders.url("/"), "events": ["bystander"]});
                let (status, answer) = client.post("/webhooks", &webhook).await;
                assert!(matches!(status, 201 | 503), "{answer}");
            }
            let one = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                       WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1";
            cutter.execute(one, &[]).await.unwrap();
            sleep(Duration::from_millis(200)).await;
        }
    };
    let mut accepted = load.during(cutting).await;
    let (rest, slowest) = load.stop().await;
    accepted.extend(rest);
    listeners.account(&world, &accepted).await;
    let listed = client.get("/webhooks?limit=200").await.1["data"].as_array().unwrap().clone();
    let registered = listed.iter().filter(|webhook| webhook["events"] == json!(["bystander"])).count();
    let (status, told) = client.post("/events", &json!({"event_type": "bystander"})).await;
    assert_eq!(
        (status, &told["deliveries"]),
        (202, &json!(registered + 1)),
        "those, and the one that hears all: {told}"
    );
    for _ in 0..registered {
        bystanders.next().await;
    }
    assert!(server.terminate().0.success());
    println!(
        "300 cut connections, {registered} webhooks registered meanwhile: {} events accepted, {} messages, {} repeated, slowest answer {slowest:?}",
        accepted.len(),
        listeners.messages(),
        listeners.repeats()
    );
}

#[ignore = "minutes: make chaos"]
#[tokio::test(flavor = "multi_thread")]
async fn a_server_frozen_for_longer_than_a_lease() {
    let db = TestDb::new().await;
    let key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let shared = || World::new().with("DATABASE_URL", db.url()).with("ENCRYPTION_KEYS", key);
    let (one, other) = (shared(), shared());
    let (frozen, awake) = (one.serve(), other.serve());
    let mut listeners = Listeners::register(&one).await;
    let numbers = Arc::new(AtomicU64::new(0));
    let mut load = Load::start(&[one.client()], &numbers);
    let mut accepted = load.during(sleep(Duration::from_secs(2))).await;
    frozen.signal(Signal::SIGSTOP);
    let mut elsewhere = Load::start(&[other.client()], &numbers);
    accepted.extend(elsewhere.during(sleep(LEASE)).await);
    accepted.extend(elsewhere.stop().await.0);
    frozen.signal(Signal::SIGCONT);
    accepted.extend(load.during(sleep(Duration::from_secs(2))).await);
    accepted.extend(load.stop().await.0);
    // Two loads in turn: only each one's own order is known.
    listeners.account_without_order(&other, &accepted).await;
    let (status, log) = frozen.terminate();
    assert!(status.success(), "{log}");
    assert!(awake.terminate().0.success());
    println!(
        "a server frozen for {LEASE:?}: {} events accepted, {} messages, {} repeated",
        accepted.len(),
        listeners.messages(),
        listeners.repeats()
    );
    assert!(listeners.repeats() <= IN_FLIGHT, "{} were repeated", listeners.repeats());
}
