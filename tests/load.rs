//! Clients that post numbered events for as long as their server answers, and the account of what arrived.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kos_test_support::Receiver;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::world::Client;

/// Events posted at the same time.
pub(crate) const CLIENTS: usize = 8;

/// A running load.
pub(crate) struct Load {
    accepted: mpsc::UnboundedReceiver<u64>,
    stop: CancellationToken,
}

impl Load {
    /// Posts events with the next numbers until the server is gone, or the load is stopped.
    pub(crate) fn start(client: &Client, numbers: &Arc<AtomicU64>) -> Self {
        let (sender, accepted) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        for _ in 0..CLIENTS {
            tokio::spawn(post(client.clone(), Arc::clone(numbers), sender.clone(), stop.clone()));
        }
        Self { accepted, stop }
    }

    /// The number of the next event that was accepted.
    pub(crate) async fn next(&mut self) -> u64 {
        self.accepted.recv().await.expect("the server accepts events")
    }

    /// Stops posting; what was accepted since.
    pub(crate) async fn stop(mut self) -> Vec<u64> {
        self.stop.cancel();
        let mut rest = Vec::new();
        while let Some(number) = self.accepted.recv().await {
            rest.push(number);
        }
        rest
    }
}

async fn post(client: Client, numbers: Arc<AtomicU64>, accepted: mpsc::UnboundedSender<u64>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        let event = json!({"event_type": "numbered", "payload": {"number": number}});
        match client.try_post("/events", &event).await {
            Ok((202, _)) => accepted.send(number).unwrap(),
            Ok((status, problem)) => panic!("the server answered {status}: {problem}"),
            Err(_) => break,
        }
    }
}

/// How often each event arrived, by its number.
#[derive(Default)]
pub(crate) struct Account(BTreeMap<u64, usize>);

impl Account {
    /// Reads what comes until each of these has arrived.
    pub(crate) async fn until(&mut self, receiver: &mut Receiver, accepted: &[u64]) {
        for number in accepted {
            while !self.0.contains_key(number) {
                let received = receiver.next().await;
                self.note(&received.json());
            }
        }
    }

    /// Reads what has come already.
    pub(crate) fn rest(&mut self, receiver: &mut Receiver) {
        for received in receiver.drain() {
            self.note(&received.json());
        }
    }

    /// How many messages came more than once.
    pub(crate) fn repeats(&self) -> usize {
        self.0.values().map(|times| times - 1).sum()
    }

    fn note(&mut self, message: &serde_json::Value) {
        let number = message["payload"]["number"].as_u64().expect("only numbered events were posted");
        *self.0.entry(number).or_default() += 1;
    }
}
