//! Servers that die or are stopped under load: every accepted event is accounted for.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::SystemTime;

use kos_test_support::{Receiver, TestDb};

use crate::load::{Account, Load};
use crate::world::World;

/// A number below `bound` that is another one each time.
fn any_below(bound: u32) -> u32 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().subsec_micros() % bound
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_before_a_kill_arrives_after_it() {
    const KILLS: usize = 5;
    /// On their way when the server dies: one webhook's share, and the outcomes that wait to be written.
    const IN_FLIGHT: usize = 10 + 256;
    let world = World::new();
    let mut receiver = Receiver::start().await;
    let numbers = Arc::new(AtomicU64::new(0));
    let mut accepted = Vec::new();
    for kill in 0..KILLS {
        let server = world.serve();
        if kill == 0 {
            world.register(&receiver.url("/hook")).await;
        }
        let mut load = Load::start(&world.client(), &numbers);
        for _ in 0..=any_below(300) {
            accepted.push(load.next().await);
        }
        server.kill();
        accepted.extend(load.stop().await);
    }
    let server = world.serve();
    let mut account = Account::default();
    account.until(&mut receiver, &accepted).await;
    world.settled().await;
    account.rest(&mut receiver);
    assert!(server.terminate().0.success());
    assert!(account.repeats() <= KILLS * IN_FLIGHT, "{} of {} were repeated", account.repeats(), accepted.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_share_the_work_and_stopping_one_neither_loses_nor_repeats() {
    let db = TestDb::new().await;
    let mut receiver = Receiver::start().await;
    let key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let shared = || World::new().with("DATABASE_URL", db.url()).with("ENCRYPTION_KEYS", key);
    let (one, other) = (shared(), shared());
    let (first, second) = (one.serve(), other.serve());
    one.register(&receiver.url("/hook")).await;
    let numbers = Arc::new(AtomicU64::new(0));
    let mut loads = [Load::start(&one.client(), &numbers), Load::start(&other.client(), &numbers)];
    let mut accepted = Vec::new();
    for load in &mut loads {
        for _ in 0..200 {
            accepted.push(load.next().await);
        }
    }
    let (status, log) = first.terminate();
    assert!(status.success(), "{log}");
    for load in loads {
        accepted.extend(load.stop().await);
    }
    let mut account = Account::default();
    account.until(&mut receiver, &accepted).await;
    other.settled().await;
    account.rest(&mut receiver);
    assert_eq!(account.repeats(), 0);
    assert!(second.terminate().0.success());
}
