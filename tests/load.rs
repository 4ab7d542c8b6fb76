//! Clients that post numbered events whatever happens to the server, and the account of what arrived.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kos_test_support::Receiver;
use kos_test_support::receiver::Received;
use kos_webhooks::signature::{Headers, VerifyingKey, verify};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::world::{Client, World};

/// Events posted at the same time.
pub(crate) const CLIENTS: usize = 8;
/// Between two posts of a client whose server is away.
const PAUSE: Duration = Duration::from_millis(10);

/// An event that was accepted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Posted {
    number: u64,
    in_order: bool,
}

enum Said {
    Accepted(Posted),
    Refused(String),
}

/// A running load: some clients post in no order, and one posts one after the other.
pub(crate) struct Load {
    said: mpsc::UnboundedReceiver<Said>,
    stop: CancellationToken,
    slowest: Arc<AtomicU64>,
}

impl Load {
    /// Posts events with the next numbers to these servers in turn, until it is stopped.
    pub(crate) fn start(clients: &[Client], numbers: &Arc<AtomicU64>) -> Self {
        let (sender, said) = mpsc::unbounded_channel();
        let (stop, slowest) = (CancellationToken::new(), Arc::default());
        for poster in 0..=CLIENTS {
            let poster = Poster {
                clients: clients.to_vec(),
                numbers: Arc::clone(numbers),
                in_order: poster == CLIENTS,
                said: sender.clone(),
                stop: stop.clone(),
                slowest: Arc::clone(&slowest),
            };
            tokio::spawn(poster.post());
        }
        Self { said, stop, slowest }
    }

    /// The next event that was accepted.
    pub(crate) async fn next(&mut self) -> Posted {
        accepted(self.said.recv().await.expect("the load goes on until it is stopped"))
    }

    /// What was accepted while something else is done.
    pub(crate) async fn during(&mut self, work: impl Future<Output = ()>) -> Vec<Posted> {
        tokio::pin!(work);
        let mut all = Vec::new();
        loop {
            tokio::select! {
                posted = self.next() => all.push(posted),
                () = &mut work => return all,
            }
        }
    }

    /// Stops posting; what was accepted since, and the longest that anybody waited for an answer.
    pub(crate) async fn stop(mut self) -> (Vec<Posted>, Duration) {
        self.stop.cancel();
        let mut rest = Vec::new();
        while let Some(said) = self.said.recv().await {
            rest.push(accepted(said));
        }
        (rest, Duration::from_millis(self.slowest.load(Ordering::Relaxed)))
    }
}

fn accepted(said: Said) -> Posted {
    match said {
        Said::Accepted(posted) => posted,
        Said::Refused(answer) => panic!("the server answered {answer}"),
    }
}

struct Poster {
    clients: Vec<Client>,
    numbers: Arc<AtomicU64>,
    in_order: bool,
    said: mpsc::UnboundedSender<Said>,
    stop: CancellationToken,
    slowest: Arc<AtomicU64>,
}

impl Poster {
    async fn post(self) {
        let mut clients = self.clients.iter().cycle();
        let event_type = if self.in_order { "in_order" } else { "numbered" };
        while let Some(client) = clients.next().filter(|_| !self.stop.is_cancelled()) {
            let number = self.numbers.fetch_add(1, Ordering::Relaxed);
            let event = json!({"event_type": event_type, "payload": {"number": number, "text": text(number)}});
            let since = Instant::now();
            let answer = client.try_post("/events", &event).await;
            self.slowest.fetch_max(since.elapsed().as_millis().try_into().unwrap(), Ordering::Relaxed);
            match answer {
                Ok((202, _)) => self.say(Said::Accepted(Posted { number, in_order: self.in_order })),
                // Nobody knows whether it was stored; it may arrive, and nobody waits for it.
                Ok((503, _)) | Err(_) => tokio::time::sleep(PAUSE).await,
                Ok((status, problem)) => self.say(Said::Refused(format!("{status}: {problem}"))),
            }
        }
    }

    fn say(&self, said: Said) {
        // The load was dropped: then nobody wants to know.
        let _ = self.said.send(said);
    }
}

/// What the receiver must get to read, letter by letter.
fn text(number: u64) -> String {
    format!("событие № {number} — \"quoted\" \\ and {}", "x".repeat(usize::try_from(number % 50).unwrap()))
}

/// Three webhooks on one receiver: one hears everything, one what has no order, one what has, in order.
pub(crate) struct Listeners {
    receiver: Receiver,
    keys: HashMap<String, VerifyingKey>,
    arrived: HashMap<String, BTreeMap<u64, usize>>,
    in_order: Vec<u64>,
}

impl Listeners {
    pub(crate) async fn register(world: &World) -> Self {
        let receiver = Receiver::start().await;
        let mut keys = HashMap::new();
        for (path, events, ordered) in [
            ("/all", json!([]), false),
            ("/numbered", json!(["numbered"]), false),
            ("/in_order", json!(["in_order"]), true),
        ] {
            let webhook = json!({"webhook_type": "custom", "url": receiver.url(path), "events": events,
                                 "policy": {"ordered": ordered}});
            let (status, created) = world.client().post("/webhooks", &webhook).await;
            assert_eq!(status, 201, "{created}");
            keys.insert(path.to_owned(), created["secret"].as_str().unwrap().parse().unwrap());
        }
        Self { receiver, keys, arrived: HashMap::new(), in_order: Vec::new() }
    }

    /// Waits until everything that was accepted has arrived wherever it should, whole and signed, and until
    /// nothing is on its way any more; then what is in order must be so.
    pub(crate) async fn account(&mut self, world: &World, accepted: &[Posted]) {
        self.account_without_order(world, accepted).await;
        let known: Vec<u64> = accepted.iter().filter(|posted| posted.in_order).map(|posted| posted.number).collect();
        let heard: Vec<u64> =
            self.in_order.iter().filter(|number| known.binary_search(number).is_ok()).copied().collect();
        assert_eq!(heard, known, "what is in order arrives in order");
    }

    /// As [`Self::account`], where more than one load posted.
    pub(crate) async fn account_without_order(&mut self, world: &World, accepted: &[Posted]) {
        for Posted { number, in_order } in accepted {
            for path in ["/all", if *in_order { "/in_order" } else { "/numbered" }] {
                while !self.arrived.get(path).is_some_and(|arrived| arrived.contains_key(number)) {
                    let message = self.receiver.next().await;
                    self.note(&message);
                }
            }
        }
        world.settled().await;
        for message in self.receiver.drain() {
            self.note(&message);
        }
    }

    /// How many messages came more than once.
    pub(crate) fn repeats(&self) -> usize {
        self.arrived.values().flat_map(BTreeMap::values).map(|times| times - 1).sum()
    }

    /// How many messages came.
    pub(crate) fn messages(&self) -> usize {
        self.arrived.values().flat_map(BTreeMap::values).sum()
    }

    fn note(&mut self, message: &Received) {
        let key = self.keys[&message.path].clone();
        let headers = Headers::find(|name| message.headers.get(name)?.to_str().ok()).unwrap();
        verify(&[key], &headers, &message.body, chrono::Local::now().to_utc()).expect("it is signed");
        let body: Value = message.json();
        let number = body["payload"]["number"].as_u64().expect("only numbered events were posted");
        assert_eq!(body["payload"]["text"], text(number), "it is whole");
        let times = self.arrived.entry(message.path.clone()).or_default().entry(number).or_default();
        *times += 1;
        if *times == 1 && message.path == "/in_order" {
            self.in_order.push(number);
        }
    }
}
