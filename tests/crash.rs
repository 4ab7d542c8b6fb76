//! Servers that die or are stopped under load: every accepted event is accounted for.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::SystemTime;

use kos_test_support::TestDb;
use tokio::task::block_in_place;

use crate::load::{Listeners, Load};
use crate::world::World;

/// On their way when a server dies: what each webhook has a place for, and the outcomes that wait to be
/// written.
pub(crate) const IN_FLIGHT: usize = 10 + 10 + 1 + 256;

/// A number below `bound` that is another one each time.
pub(crate) fn any_below(bound: u32) -> u32 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().subsec_micros() % bound
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_before_a_kill_arrives_after_it() {
    kill_again_and_again(5).await;
}

/// Kills the server in the middle of its work, so many times, and accounts for everything.
pub(crate) async fn kill_again_and_again(kills: usize) {
    let world = World::new();
    let mut listeners = None;
    let numbers = Arc::new(AtomicU64::new(0));
    let mut accepted = Vec::new();
    for _ in 0..kills {
        let server = world.serve();
        if listeners.is_none() {
            listeners = Some(Listeners::register(&world).await);
        }
        let mut load = Load::start(&[world.client()], &numbers);
        for _ in 0..=any_below(300) {
            accepted.push(load.next().await);
        }
        server.kill();
        accepted.extend(load.stop().await.0);
    }
    let server = world.serve();
    let mut listeners = listeners.unwrap();
    listeners.account(&world, &accepted).await;
    assert_nothing_recorded_comes_again(&world).await;
    assert!(server.terminate().0.success());
    let (repeats, messages) = (listeners.repeats(), listeners.messages());
    println!("{kills} kills: {} events accepted, {messages} messages, {repeats} of them repeated", accepted.len());
    assert!(repeats <= kills * IN_FLIGHT, "{repeats} of {messages} were repeated");
}

/// What the log says was delivered is delivered: only messages whose outcome died with the server are repeated.
async fn assert_nothing_recorded_comes_again(world: &World) {
    let client = world.client();
    let mut delivered = HashSet::new();
    for webhook in client.get("/webhooks").await.1["data"].as_array().unwrap() {
        let logs = format!("/webhooks/{}/logs?limit=200", webhook["id"].as_str().unwrap());
        let mut page = client.get(&logs).await.1;
        loop {
            for log in page["data"].as_array().unwrap().iter().filter(|log| log["success"] == true) {
                let delivery = log["delivery_id"].as_str().unwrap().to_owned();
                assert!(delivered.insert(delivery), "it was delivered, and sent again: {log}");
            }
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            page = client.get(&format!("{logs}&cursor={cursor}")).await.1;
        }
    }
    assert!(!delivered.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_share_the_work_and_stopping_one_neither_loses_nor_repeats() {
    roll_two_servers(2).await;
}

/// Two servers on one database, stopped and started in turn under load, so many times.
pub(crate) async fn roll_two_servers(rolls: usize) {
    let db = TestDb::new().await;
    let key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let shared = || World::new().with("DATABASE_URL", db.url()).with("ENCRYPTION_KEYS", key);
    let worlds = [shared(), shared()];
    let mut servers = worlds.each_ref().map(|world| Some(world.serve()));
    let mut listeners = Listeners::register(&worlds[0]).await;
    let mut load = Load::start(&worlds.each_ref().map(World::client), &Arc::new(AtomicU64::new(0)));
    let mut accepted = Vec::new();
    for roll in 0..rolls {
        for _ in 0..=any_below(300) {
            accepted.push(load.next().await);
        }
        let (world, server) = (&worlds[roll % 2], &mut servers[roll % 2]);
        block_in_place(|| {
            let (status, log) = server.take().unwrap().terminate();
            assert!(status.success(), "{log}");
            *server = Some(world.serve());
        });
    }
    accepted.extend(load.stop().await.0);
    listeners.account(&worlds[0], &accepted).await;
    println!(
        "{rolls} rolls: {} events accepted, {} messages, {} repeated",
        accepted.len(),
        listeners.messages(),
        listeners.repeats()
    );
    assert_eq!(listeners.repeats(), 0);
}
