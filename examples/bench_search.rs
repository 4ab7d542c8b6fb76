//! Measures the search on this machine: how fast texts come in, and how long a query takes among them.
//!
//! `make bench-search`, or `cargo run --release --example bench_search` after
//! `cargo build --release --bin api-server`.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anstream::println;
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use kos_examples::chance::Chance;
use kos_examples::service::Service;
use kos_examples::texts;
use kos_examples::timing::{float, quantile};
use serde_json::json;

/// Measures the search of Knowledge OS on this machine
#[derive(Parser)]
struct Options {
    /// How many texts, in steps
    #[arg(long, value_delimiter = ',', default_values_t = [100_000, 1_000_000])]
    texts: Vec<usize>,
    /// How many queries at each step
    #[arg(long, default_value_t = 400)]
    queries: usize,
}

/// Real texts that sentences are taken from.
const SOURCES: usize = 100_000;
/// Lines of one import.
const LINES: usize = 5_000;
/// Texts that come in with the search index, and without it.
const WRITES: usize = 100_000;
/// How often each.
const ROUNDS: usize = 4;
/// Queries that only warm what is cold.
const WARM_UP: usize = 20;
/// The shortest word that is asked for, in letters.
const LETTERS: usize = 3;
/// The shortest word that is misspelt, in letters.
const MISSPELT: usize = 6;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let mut mixture = Mixture::new();
    anyhow::ensure!(
        !mixture.sentences.is_empty(),
        "this machine carries no texts: neither apt's lists nor translations"
    );
    println!("sentences of this machine's own texts: {}", mixture.sentences.len());
    measure_writes(&mixture).await?;
    Service::alone(async |service| measure(&options, service, &mut mixture).await).await
}

async fn measure(options: &Options, service: &Service, mixture: &mut Mixture) -> anyhow::Result<()> {
    let mut stored = 0;
    for texts in &options.texts {
        let took = fill(service, mixture, stored, *texts).await?;
        let per_second = float(texts - stored) / took.as_secs_f64();
        stored = *texts;
        service.until_counted(u64::try_from(stored)?).await?;
        let asked = ask(service, mixture, options.queries).await?;
        println!(
            "{stored:>9} texts   in at {per_second:>6.0}/s   query p50 {:>5.1} ms   p90 {:>5.1}   p99 {:>5.1}   most {:>5.1}   without result {}",
            quantile(&asked.took, 50),
            quantile(&asked.took, 90),
            quantile(&asked.took, 99),
            quantile(&asked.took, 100),
            asked.in_vain,
        );
    }
    Ok(())
}

/// What the search index adds to a write: the same texts come into a service that has it and into one that has not, by
/// turns. What is done for it behind the writers takes its share of the same time.
async fn measure_writes(mixture: &Mixture) -> anyhow::Result<()> {
    let mut ratios = Vec::new();
    for round in 0..ROUNDS {
        let mut took = [Duration::ZERO; 2];
        for turn in 0..2 {
            let has_index = round % 2 == turn;
            let [with, without] = &mut took;
            let slot = if has_index { with } else { without };
            *slot = write(&mut mixture.clone(), has_index).await?;
        }
        let [with, without] = took.map(|took| took.as_secs_f64());
        ratios.push(with / without);
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "writes with the search index take {:.2} times as long as without it ({:.2} to {:.2})",
        ratios.iter().sum::<f64>() / float(ROUNDS),
        quantile(&ratios, 0),
        quantile(&ratios, 100),
    );
    Ok(())
}

/// How long a service of its own takes for so many texts.
async fn write(mixture: &mut Mixture, has_index: bool) -> anyhow::Result<Duration> {
    let mut took = Duration::ZERO;
    let fill = async |service: &Service| {
        if !has_index {
            service.sql("DROP INDEX knowledge_search_idx").await?;
        }
        took = fill(service, mixture, 0, WRITES).await?;
        Ok(())
    };
    Service::alone(fill).await?;
    Ok(took)
}

/// Texts of one to five sentences each, and queries made of their words; the same on every run.
#[derive(Clone)]
struct Mixture {
    sentences: Vec<String>,
    chance: Chance,
}

impl Mixture {
    fn new() -> Self {
        let texts = texts::gather(SOURCES);
        let sentences = texts.iter().flat_map(|text| text.content.split(['.', '\n']));
        let sentences = sentences.map(str::trim).filter(|sentence| sentence.chars().count() > 20).map(str::to_owned);
        Self { sentences: sentences.collect(), chance: Chance::default() }
    }

    /// A number below `limit`.
    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.chance.draw() >> 1).unwrap_or_default() % limit.max(1)
    }

    fn sentence(&mut self) -> &str {
        let at = self.below(self.sentences.len());
        self.sentences.get(at).map_or("", String::as_str)
    }

    /// The number makes it one of its kind.
    fn text(&mut self, number: usize) -> String {
        let mut text = String::new();
        for _ in 0..=self.below(5) {
            text.push_str(self.sentence());
            text.push_str(". ");
        }
        text + &number.to_string()
    }

    /// One to eight words that stand in one text, every fifth with two letters swapped in a long word.
    fn query(&mut self) -> String {
        let text = format!("{} {}", self.sentence().to_owned(), self.sentence());
        let words: Vec<&str> =
            text.split(|c: char| !c.is_alphabetic()).filter(|word| word.chars().count() >= LETTERS).collect();
        let misspell = self.below(5) == 0;
        let mut query = String::new();
        for _ in 0..=self.below(8) {
            let word = words.get(self.below(words.len())).copied().unwrap_or_default();
            let mut letters: Vec<char> = word.chars().collect();
            if misspell && letters.len() >= MISSPELT {
                letters.swap(2, 3);
            }
            query.extend(letters);
            query.push(' ');
        }
        query.trim_end().to_owned()
    }
}

/// Imports texts until there are so many.
async fn fill(service: &Service, mixture: &mut Mixture, from: usize, to: usize) -> anyhow::Result<Duration> {
    let bar = ProgressBar::new(u64::try_from(to - from)?)
        .with_style(ProgressStyle::with_template("texts  {wide_bar} {pos}/{len}  {per_sec}")?);
    let (client, mut took) = (service.client(), Duration::ZERO);
    for begin in (from..to).step_by(LINES) {
        let mut lines = String::new();
        for number in begin..to.min(begin + LINES) {
            let line = json!({"content": mixture.text(number), "domain": format!("domain {}", number % 20)});
            writeln!(lines, "{line}")?;
        }
        let since = Instant::now();
        let report = client.import(lines).await?;
        took += since.elapsed();
        anyhow::ensure!(report.pointer("/failed") == Some(&json!(0)), "not all was imported: {report}");
        bar.inc(u64::try_from(LINES.min(to - begin))?);
    }
    bar.finish_and_clear();
    Ok(took)
}

struct Asked {
    /// In milliseconds, the shortest first.
    took: Vec<f64>,
    in_vain: usize,
}

async fn ask(service: &Service, mixture: &mut Mixture, queries: usize) -> anyhow::Result<Asked> {
    let mut asked = Asked { took: Vec::new(), in_vain: 0 };
    for number in 0..WARM_UP + queries {
        let query = json!({"query": mixture.query()});
        let since = Instant::now();
        let answer = service.post("/search", &query).await?;
        if number >= WARM_UP {
            asked.took.push(since.elapsed().as_secs_f64() * 1_000.0);
            asked.in_vain += usize::from(answer.pointer("/total/value") == Some(&json!(0)));
        }
    }
    asked.took.sort_by(f64::total_cmp);
    Ok(asked)
}
