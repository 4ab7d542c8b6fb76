//! The service at work: starts `api-server` on a database of its own, registers a webhook on each
//! platform (all of them received here), feeds it the real texts of this machine, and counts.
//!
//! `make demo`, or `cargo run --release --example demo` after `cargo build --release --bin api-server`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anstream::println;
use anyhow::Context;
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use kos_examples::inbox::{Inbox, Received};
use kos_examples::service::Service;
use kos_examples::texts::Text;
use kos_examples::{inbox, screen, texts};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

/// Shows Knowledge OS at work on real texts.
#[derive(Parser)]
struct Options {
    /// How many texts to feed
    #[arg(long, default_value_t = 4000)]
    texts: usize,
    /// How many requests at the same time
    #[arg(long, default_value_t = 8)]
    clients: usize,
}

/// Messages that one text causes: one a platform.
const PLATFORMS: usize = 4;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let inbox = Inbox::open(SocketAddr::from(([127, 0, 0, 1], 0)), Arc::new(inbox::accept)).await?;
    let service = Service::start(&inbox.url(), "warn").await?;
    // However it goes, the service is told to stop, and its Postgres with it.
    let shown = tokio::select! {
        shown = show(&options, inbox, &service) => shown,
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(Into::into),
    };
    let stopped = service.stop().await;
    shown.and(stopped)
}

async fn show(options: &Options, inbox: Inbox, service: &Service) -> anyhow::Result<()> {
    println!("service   {}", service.address);
    println!("receiver  {}", inbox.url());
    for webhook in webhooks(&inbox)? {
        let created = service.post("/webhooks", &webhook).await?;
        println!("webhook   {}  {}", text(&created, "/webhook_type"), text(&created, "/url"));
    }
    let texts = texts::gather(options.texts);
    anyhow::ensure!(!texts.is_empty(), "this machine carries no texts: neither apt's lists nor translations");
    let (total, clients) = (texts.len(), options.clients);
    let (accepted, expected) = watch::channel(None);
    let watching = tokio::spawn(watch_arrivals(inbox.messages, expected, total));
    let since = Instant::now();
    let posted = feed(service, texts, clients).await?;
    let fed = since.elapsed();
    accepted.send_replace(Some(posted.len()));
    let arrivals = watching.await?;
    service.settle(0).await?;
    report(service, &posted, fed, &arrivals).await
}

/// The text at a JSON pointer; empty without one.
fn text<'a>(answer: &'a Value, pointer: &str) -> &'a str {
    answer.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// One webhook of each platform, at addresses that are valid there and lead here; without the limits that the
/// real platforms set.
fn webhooks(inbox: &Inbox) -> anyhow::Result<[Value; PLATFORMS]> {
    let events = json!(["knowledge_*"]);
    let policy = json!({"rate_limit": null});
    Ok([
        json!({"webhook_type": "slack", "events": events, "policy": policy,
               "url": "https://hooks.slack.com/services/T0DEMO/B0DEMO/demo"}),
        json!({"webhook_type": "discord", "events": events, "policy": policy,
               "url": format!("https://discord.com/api/webhooks/123456789012345678/{}", "d".repeat(68))}),
        json!({"webhook_type": "telegram", "chat_id": -1001234567890_i64, "events": events, "policy": policy, "locale": "en",
               "bot_token": format!("123456789:{}", "A".repeat(35))}),
        json!({"webhook_type": "custom", "url": inbox.url().join("hook")?.as_str(), "events": events}),
    ])
}

/// Posts every text; returns when each accepted one was sent, by its id.
async fn feed(service: &Service, texts: Vec<Text>, clients: usize) -> anyhow::Result<HashMap<String, Instant>> {
    let bar = ProgressBar::new(u64::try_from(texts.len())?)
        .with_style(ProgressStyle::with_template("accepted  {wide_bar} {pos}/{len}  {per_sec}")?);
    let (queue, waiting) = mpsc::channel::<Text>(clients);
    let waiting = Arc::new(tokio::sync::Mutex::new(waiting));
    let workers: Vec<_> = (0..clients)
        .map(|_| {
            let (service, waiting, bar) = (service.client(), Arc::clone(&waiting), bar.clone());
            tokio::spawn(async move {
                let mut posted = HashMap::new();
                while let Some(next) = { waiting.lock().await.recv().await } {
                    let body = json!({"content": next.content, "domain": next.domain, "confidence_score": 0.9});
                    let sent = Instant::now();
                    let created = service.post("/knowledge", &body).await?;
                    posted.insert(text(&created, "/id").to_owned(), sent);
                    bar.inc(1);
                }
                anyhow::Ok(posted)
            })
        })
        .collect();
    for text in texts {
        queue.send(text).await.context("every client has stopped")?;
    }
    drop(queue);
    let mut posted = HashMap::new();
    for worker in workers {
        posted.extend(worker.await??);
    }
    bar.finish();
    Ok(posted)
}

/// What arrived, by platform: the signed messages carry the knowledge's id and give the latencies.
#[derive(Default)]
struct Arrivals {
    count: HashMap<&'static str, usize>,
    at: HashMap<String, Instant>,
    samples: HashMap<&'static str, String>,
}

/// Collects until everything that was accepted has arrived, or nothing more comes for 10 s.
async fn watch_arrivals(
    mut messages: mpsc::UnboundedReceiver<Received>,
    mut accepted: watch::Receiver<Option<usize>>,
    total: usize,
) -> Arrivals {
    let mut arrivals = Arrivals::default();
    let mut seen = 0;
    let quiet = Duration::from_secs(10);
    while accepted.borrow_and_update().is_none_or(|accepted| seen < accepted * PLATFORMS) && seen < total * PLATFORMS {
        tokio::select! {
            message = messages.recv() => match message {
                Some(message) => { seen += 1; arrivals.note(&message); }
                None => break,
            },
            () = tokio::time::sleep(quiet) => if accepted.borrow().is_some() { break },
        }
    }
    arrivals
}

impl Arrivals {
    fn note(&mut self, message: &Received) {
        let platform = screen::platform(message);
        *self.count.entry(platform).or_default() += 1;
        self.samples.entry(platform).or_insert_with(|| screen::show(message));
        if platform == "HTTP" {
            let body: Value = serde_json::from_slice(&message.body).unwrap_or_default();
            self.at.entry(text(&body, "/payload/knowledge_id").to_owned()).or_insert(message.at);
        }
    }
}

async fn report(
    service: &Service,
    posted: &HashMap<String, Instant>,
    fed: Duration,
    arrivals: &Arrivals,
) -> anyhow::Result<()> {
    println!("\nThe first message on each platform:\n");
    for platform in ["Slack", "Discord", "Telegram", "HTTP"] {
        println!("{}", arrivals.samples.get(platform).map_or("  nothing arrived\n", String::as_str));
    }
    let stats = service.get("/stats").await?;
    let mut latencies: Vec<Duration> =
        posted.iter().filter_map(|(id, sent)| Some(arrivals.at.get(id)?.duration_since(*sent))).collect();
    latencies.sort_unstable();
    let quantile =
        |share: usize| latencies.get(latencies.len().saturating_sub(1) * share / 100).copied().unwrap_or_default();
    println!("accepted   {} in {:.1} s", posted.len(), fed.as_secs_f64());
    println!("delivered  {} of {}", arrivals.count.values().sum::<usize>(), posted.len() * PLATFORMS);
    println!("failed     {}", stats.pointer("/deliveries/dead").unwrap_or(&Value::Null));
    println!("p50        {:.1} ms from request to arrival", quantile(50).as_secs_f64() * 1000.0);
    println!("p99        {:.1} ms", quantile(99).as_secs_f64() * 1000.0);
    Ok(())
}
