//! Measures the service on this machine: what a delivery costs, how fast it is, and how much a webhook that
//! hangs disturbs the others. Everything runs here: the load, the service with its Postgres, the receiver.
//!
//! `make bench`, or `cargo run --release --example bench` after `cargo build --release --bin api-server`.

use std::time::Duration;

use anstream::println;
use anyhow::Context;
use clap::Parser;
use kos_examples::load::Load;
use kos_examples::service::{KEY, Service};
use kos_examples::sink::{SLOWNESS, Sink};
use kos_examples::usage::Watched;
use serde_json::{Value, json};
use tokio::time::Instant;
use url::Url;

/// Measures Knowledge OS on this machine
#[derive(Parser)]
struct Options {
    /// A tenth of the work: figures for a look, not for a claim
    #[arg(long)]
    quick: bool,
}

/// How long nothing may arrive before what is missing counts as lost.
const PATIENCE: Duration = Duration::from_secs(10);
/// Messages that a webhook has under way at most.
const PLACES: u32 = 10;
const NEIGHBOURS: usize = 20;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let sink = Sink::open().await?;
    let service = Service::start(&Url::parse(&sink.url("/"))?, "error").await?;
    let (server, postgres) = service.watched()?;
    let mut bench =
        Bench { service, sink, server, postgres, scale: if options.quick { 10 } else { 1 }, expected: 0, stuck: 0 };
    let measured = tokio::select! {
        measured = bench.measure() => measured,
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(Into::into),
    };
    let stopped = bench.service.stop().await;
    measured.and(stopped)
}

struct Bench {
    service: Service,
    sink: Sink,
    server: Watched,
    postgres: Watched,
    scale: u64,
    /// Deliveries that everything accepted so far has caused.
    expected: usize,
    /// Of those, to the webhook that hangs.
    stuck: usize,
}

/// What one load came to.
struct Row {
    accepted: usize,
    expected: usize,
    arrived: usize,
    repeated: usize,
    took: Duration,
    posts: Vec<u64>,
    arrivals: Vec<u64>,
    server: u64,
    postgres: u64,
}

impl Bench {
    async fn measure(&mut self) -> anyhow::Result<()> {
        let (at_rest, _) = self.server.memory();
        let ceiling = self.ceiling().await?;
        println!("load straight into the receiver: {ceiling:.0} requests/s\n");
        println!("{HEADER}");
        self.hear("one", &["/a"]).await?;
        let one = self.load("one", 40_000, None, 1).await?;
        println!("{}", one.line("1 webhook, 32 clients"));
        let ten: Vec<String> = (0..10).map(|number| format!("/ten/{number}")).collect();
        self.hear("ten", &ten).await?;
        let fan_out = self.load("ten", 6_000, None, 10).await?;
        println!("{}", fan_out.line("10 webhooks, 32 clients"));
        self.hear("steady", &["/steady"]).await?;
        println!("{}", self.load("steady", 2_000, Some(100), 1).await?.line("1 webhook, 100 events/s"));
        self.hear("slow", &["/slow"]).await?;
        let slow = self.load("slow", 500, None, 1).await?;
        println!("{}", slow.line("receiver that takes 200 ms"));
        self.neighbours().await?;
        let (now, peak) = self.server.memory();
        println!();
        println!("events/s through one webhook, to the ceiling   {:.2}", one.per_second() / ceiling);
        println!("deliveries/s of 10, to the ceiling             {:.2}", fan_out.per_second() / ceiling);
        let cap = f64::from(PLACES) / SLOWNESS.as_secs_f64();
        println!("the slow receiver's rate, to what {PLACES} places allow {:.2}", slow.per_second() / cap);
        println!(
            "memory of the server                           {} MiB at rest, {} at the most, {} now",
            mib(at_rest),
            mib(peak),
            mib(now)
        );
        self.account().await
    }

    /// What load and receiver manage alone.
    async fn ceiling(&self) -> anyhow::Result<f64> {
        let events = 100_000 / self.scale;
        let since = Instant::now();
        let load = Load { port: self.sink.port(), path: "/direct", ..self.described("direct", events, None) };
        let posted = load.post().await?;
        let took = since.elapsed();
        let _ = self.sink.take();
        Ok(per_second(posted.accepted, took))
    }

    fn described(&self, event_type: &'static str, events: u64, per_second: Option<u32>) -> Load {
        Load {
            clock: self.sink.clock,
            port: self.service.port,
            path: "/events",
            key: KEY,
            event_type,
            events,
            clients: 32,
            per_second,
        }
    }

    /// Registers webhooks at these paths of the sink that hear of one type of events.
    async fn hear(&self, event_type: &str, paths: &[impl AsRef<str>]) -> anyhow::Result<()> {
        for path in paths {
            let webhook = json!({"webhook_type": "custom", "url": self.sink.url(path.as_ref()), "events": [event_type],
                                 "policy": {"max_in_flight": PLACES}});
            self.service.post("/webhooks", &webhook).await?;
        }
        Ok(())
    }

    async fn load(
        &mut self,
        event_type: &'static str,
        events: u64,
        per_second: Option<u32>,
        webhooks: usize,
    ) -> anyhow::Result<Row> {
        let _ = self.sink.take();
        let (server, postgres, since) = (self.server.cpu(), self.postgres.cpu(), Instant::now());
        let posted = self.described(event_type, events / self.scale, per_second).post().await?;
        let expected = posted.accepted * webhooks;
        self.sink.until(expected, PATIENCE).await;
        let took = since.elapsed();
        // What comes twice comes after what came once; outcomes are paid for as well.
        self.service.settle(u64::try_from(self.stuck)?).await?;
        self.expected += expected;
        let tallies = self.sink.take();
        let arrivals = sorted(tallies.values().flat_map(|tally| tally.arrived.values().copied()).collect());
        Ok(Row {
            accepted: posted.accepted,
            expected,
            arrived: arrivals.len(),
            repeated: tallies.values().map(|tally| tally.repeated).sum(),
            took,
            posts: sorted(posted.latencies),
            arrivals,
            server: self.server.cpu() - server,
            postgres: self.postgres.cpu() - postgres,
        })
    }

    /// Twenty healthy webhooks alone, and then beside one that hangs and has more and more waiting.
    async fn neighbours(&mut self) -> anyhow::Result<()> {
        let healthy: Vec<String> = (0..NEIGHBOURS).map(|number| format!("/healthy/{number}")).collect();
        self.hear("healthy", &healthy).await?;
        self.hear("stuck", &["/hanging"]).await?;
        let alone = self.load("healthy", 1_000, Some(50), NEIGHBOURS).await?;
        println!("{}", alone.line("20 webhooks, 50 events/s"));
        for waiting in [10_000, 100_000] {
            self.fill(waiting / self.scale).await?;
            let beside = self.load("healthy", 1_000, Some(50), NEIGHBOURS).await?;
            println!("{}", beside.line(&format!("  beside {} waiting", self.stuck)));
            let ratio = millis(quantile(&beside.arrivals, 99)) / millis(quantile(&alone.arrivals, 99));
            println!("    p99 to the p99 without them: {ratio:.2}");
        }
        Ok(())
    }

    /// Lets messages to the webhook that hangs pile up to so many.
    async fn fill(&mut self, waiting: u64) -> anyhow::Result<()> {
        let more = waiting - u64::try_from(self.stuck)?;
        let posted = self.described("stuck", more, None).post().await?;
        self.stuck += posted.accepted;
        self.expected += posted.accepted;
        Ok(())
    }

    /// Whether everything accepted is delivered, or waiting, or given up: by the service's own books.
    async fn account(&self) -> anyhow::Result<()> {
        let stats = self.service.get("/stats").await?;
        let count = |pointer: &str| stats.pointer(pointer).and_then(Value::as_u64).context("stats without deliveries");
        let delivered = count("/deliveries/delivered_24h")?;
        let (waiting, dead) = (count("/deliveries/waiting")?, count("/deliveries/dead")?);
        println!(
            "account                                        {} expected = {delivered} delivered + {waiting} waiting + {dead} dead",
            self.expected,
        );
        anyhow::ensure!(u64::try_from(self.expected)? == delivered + waiting + dead, "the account does not come out");
        Ok(())
    }
}

const HEADER: &str = concat!(
    "                              accepted  arrived   lost  twice       per s   POST p50     p99",
    "   arrival p50     p99   CPU µs: server  Postgres",
);

impl Row {
    fn line(&self, name: &str) -> String {
        let [post_50, post_99] = [50, 99].map(|share| millis(quantile(&self.posts, share)));
        let [arrival_50, arrival_99] = [50, 99].map(|share| millis(quantile(&self.arrivals, share)));
        format!(
            "{name:<29} {:>8} {:>8} {:>6} {:>6} {:>11.0} {post_50:>7.1} ms {post_99:>4.1} ms {arrival_50:>10.1} ms {arrival_99:>4.1} ms {:>16.0} {:>9.0}",
            self.accepted,
            self.arrived,
            self.expected - self.arrived,
            self.repeated,
            self.per_second(),
            self.each(self.server),
            self.each(self.postgres),
        )
    }

    /// Deliveries a second, from the first post to the last arrival.
    fn per_second(&self) -> f64 {
        per_second(self.arrived, self.took)
    }

    /// The share of one delivery.
    fn each(&self, cpu: u64) -> f64 {
        float(cpu) / float(self.arrived.max(1))
    }
}

fn per_second(count: usize, took: Duration) -> f64 {
    float(count) / took.as_secs_f64()
}

fn float<T: TryInto<u32>>(count: T) -> f64 {
    count.try_into().map_or(f64::INFINITY, f64::from)
}

fn sorted(mut values: Vec<u64>) -> Vec<u64> {
    values.sort_unstable();
    values
}

fn quantile(sorted: &[u64], share: usize) -> u64 {
    sorted.get(sorted.len().saturating_sub(1) * share / 100).copied().unwrap_or_default()
}

/// Microseconds as milliseconds.
fn millis(micros: u64) -> f64 {
    float(micros) / 1_000.0
}

/// KiB as MiB.
fn mib(kib: u64) -> u64 {
    kib / 1_024
}
