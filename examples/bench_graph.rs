//! Measures the graph on this machine: how long it takes to look around an item and to find a path between two.
//!
//! `make bench-graph`, or `cargo run --release --example bench_graph` after
//! `cargo build --release --bin api-server`.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anstream::println;
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use kos_examples::chance::Chance;
use kos_examples::service::Service;
use kos_examples::timing::{float, quantile};
use serde_json::{Value, json};

/// Measures the graph of Knowledge OS on this machine
#[derive(Parser)]
struct Options {
    /// How many items
    #[arg(long, default_value_t = 100_000)]
    nodes: u32,
    /// How many links, five times as many as items when not given
    #[arg(long)]
    links: Option<u32>,
    /// How many questions of each sort
    #[arg(long, default_value_t = 500)]
    questions: usize,
}

/// Lines of one import.
const LINES: u32 = 5_000;
/// Questions that only warm what is cold.
const WARM_UP: usize = 20;
/// Kinds that may close a circle, so that any link is taken.
const KINDS: [&str; 3] = ["related_to", "supports", "derived_from"];

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    Service::alone(async |service| measure(&options, service).await).await
}

async fn measure(options: &Options, service: &Service) -> anyhow::Result<()> {
    let links = options.links.unwrap_or(options.nodes.saturating_mul(5));
    let mut web = Web { nodes: options.nodes, chance: Chance::default() };
    fill(service, "items", options.nodes, |number| web.item(number)).await?;
    fill(service, "links", links, |_| web.link()).await?;
    until_held(service, &web.any()).await?;
    service.until_counted(options.nodes.into()).await?;
    println!("{} items, {links} links", options.nodes);
    ask(service, options, "1 hop", || format!("/graph/neighborhood?depth=1&id={}", web.any())).await?;
    ask(service, options, "2 hops", || format!("/graph/neighborhood?depth=2&id={}", web.any())).await?;
    ask(service, options, "2, degrees", || format!("/graph/neighborhood?depth=2&degrees=true&id={}", web.any()))
        .await?;
    ask(service, options, "3 hops", || format!("/graph/neighborhood?depth=3&id={}", web.any())).await?;
    ask(service, options, "path", || format!("/graph/path?from={}&to={}", web.any(), web.any())).await?;
    ask(service, options, "weighted path", || format!("/graph/path?weighted=true&from={}&to={}", web.any(), web.any()))
        .await
}

/// Links as people make them: everything has a few, and some things have very many. The same on every run.
struct Web {
    nodes: u32,
    chance: Chance,
}

impl Web {
    /// From 0 to 1.
    fn fraction(&mut self) -> f64 {
        f64::from(self.chance.draw()) / f64::from(u32::MAX)
    }

    #[expect(clippy::as_conversions, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 2^32")]
    fn below(&self, fraction: f64) -> u32 {
        (fraction * f64::from(self.nodes)) as u32 % self.nodes.max(1)
    }

    fn any(&mut self) -> String {
        let fraction = self.fraction();
        id(self.below(fraction))
    }

    fn item(&mut self, number: u32) -> Value {
        json!({"id": id(number), "title": format!("Item {number}"), "content": format!("What there is to know of {number}"),
               "domain": format!("domain {}", number % 20)})
    }

    /// The first items have the most links: by reckoning, of a hundred thousand the first
    /// has some 1,600, and one in a hundred 25.
    fn link(&mut self) -> Value {
        let (source, target) = (self.fraction(), self.fraction().powi(2));
        let (source, target) = (self.below(source), self.below(target));
        let target = if source == target { (target + 1) % self.nodes.max(2) } else { target };
        let kind = self.fraction() * float(KINDS.len());
        let kind =
            KINDS.into_iter().zip(1_u32..).find(|(_, number)| kind <= f64::from(*number)).map_or("", |(kind, _)| kind);
        json!({"type": "link", "source_id": id(source), "target_id": id(target), "kind": kind,
               "weight": (self.fraction() * 100.0).round() / 100.0})
    }
}

fn id(number: u32) -> String {
    format!("01900000-0000-7000-8000-{number:012x}")
}

/// Imports so many lines.
async fn fill(service: &Service, what: &str, count: u32, mut line: impl FnMut(u32) -> Value) -> anyhow::Result<()> {
    let style = ProgressStyle::with_template("{msg}  {wide_bar} {pos}/{len}  {per_sec}")?;
    let bar = ProgressBar::new(count.into()).with_style(style).with_message(what.to_owned());
    let client = service.client();
    let mut from = 0;
    while from < count {
        let to = count.min(from + LINES);
        let mut lines = String::new();
        for number in from..to {
            writeln!(lines, "{}", line(number))?;
        }
        let report = client.import(lines).await?;
        anyhow::ensure!(report.pointer("/failed") == Some(&json!(0)), "not all was imported: {report}");
        bar.inc(u64::from(to - from));
        from = to;
    }
    bar.finish_and_clear();
    Ok(())
}

/// Waits until the links are held by the service, which reads them behind the first walk.
async fn until_held(service: &Service, id: &str) -> anyhow::Result<()> {
    let client = service.client();
    client.read(&format!("/graph/neighborhood?id={id}")).await?;
    let is_held = |line: &str| line.starts_with("kos_graph_links_held ") && !line.ends_with(" 0");
    while !client.read("/metrics").await?.lines().any(is_held) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

async fn ask(service: &Service, options: &Options, name: &str, mut path: impl FnMut() -> String) -> anyhow::Result<()> {
    let (client, mut took, mut nodes, mut truncated) = (service.client(), Vec::new(), 0, 0);
    for number in 0..WARM_UP + options.questions {
        let path = path();
        let since = Instant::now();
        let answer = client.read(&path).await?;
        let elapsed = since.elapsed();
        let answer: Value = serde_json::from_str(&answer)?;
        if number >= WARM_UP {
            took.push(elapsed.as_secs_f64() * 1_000.0);
            let found = answer.pointer("/nodes").or_else(|| answer.pointer("/path/nodes"));
            nodes += found.and_then(Value::as_array).map_or(0, Vec::len);
            truncated += usize::from(answer.pointer("/truncated") == Some(&json!(true)));
        }
    }
    took.sort_by(f64::total_cmp);
    println!(
        "{name:<14} p50 {:>5.1} ms   p90 {:>5.1}   p99 {:>5.1}   most {:>5.1}   nodes {:>6.1}   cut short {:>3.0} %",
        quantile(&took, 50),
        quantile(&took, 90),
        quantile(&took, 99),
        quantile(&took, 100),
        float(nodes) / float(options.questions),
        100.0 * float(truncated) / float(options.questions),
    );
    Ok(())
}
