//! The search by meaning, with a server of embeddings on a real socket; and without.

use kos_embedding_queue::Queue;
use kos_embeddings::{Provider, Settings};
use kos_test_support::Embedder;
use kos_test_support::embedder::Mood;
use serde_json::{Value, json};

use crate::bench::Bench;

struct Meaning {
    bench: Bench,
    embedder: Embedder,
    queue: Queue,
}

impl Meaning {
    /// A service with these texts, all of them embedded: content and tags.
    async fn new(texts: &[(&str, &[&str])]) -> Self {
        let mut bench = Bench::new().await;
        let embedder = Embedder::start().await;
        let settings = Settings {
            url: embedder.url().parse().unwrap(),
            model: "test-model".to_owned(),
            api_key: None,
            query_prefix: String::new(),
            passage_prefix: String::new(),
            input_type: false,
        };
        let provider = Provider::new(settings).unwrap();
        bench.embed_with(provider.clone());
        let queue = Queue::new(bench.repository.clone(), provider);
        let mut meaning = Self { bench, embedder, queue };
        for (content, tags) in texts {
            meaning.bench.create("/knowledge", &json!({"content": content, "tags": tags})).await;
        }
        meaning.embed().await;
        meaning
    }

    async fn embed(&mut self) {
        self.queue.run_until_idle().await.unwrap();
        self.embedder.drain();
    }

    async fn search(&self, body: Value) -> Value {
        let reply = self.bench.post("/search", &body).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        reply.json()
    }
}

fn contents(answer: &Value) -> Vec<&str> {
    answer["results"].as_array().unwrap().iter().map(|hit| hit["content"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_russian_question_finds_the_english_text_and_explains_how() {
    let meaning =
        Meaning::new(&[("Baking bread at <home>", &[]), ("A garden in spring", &[]), ("Riding a bicycle", &[])]).await;
    let answer = meaning.search(json!({"query": "как испечь хлеб", "explain": true})).await;
    let best = &answer["results"][0];
    assert_eq!(best["content"], "Baking bread at <home>");
    assert_eq!(best["highlight"], "Baking bread at &lt;home&gt;", "the start of the text stands for the words");
    assert_eq!((&best["explain"]["rank_by_words"], &best["explain"]["rank_by_meaning"]), (&Value::Null, &json!(1)));
    assert!(best["explain"]["similarity"].as_f64().unwrap() > 0.5, "{best}");
    assert_eq!(answer["degraded"], Value::Null);
    let both = meaning.search(json!({"query": "bread", "explain": true})).await;
    let best = &both["results"][0];
    assert_eq!(best["highlight"], "Baking <mark>bread</mark> at &lt;home");
    assert_eq!((&best["explain"]["rank_by_words"], &best["explain"]["rank_by_meaning"]), (&json!(1), &json!(1)));
    assert!((best["score"].as_f64().unwrap() - 2.0 / 61.0).abs() < 1e-9);
    let stats = meaning.bench.get("/stats").await.json();
    let expected = json!({"enabled": true, "model": "test-model", "embedded": 3, "waiting": 0, "refused": 0});
    assert_eq!(stats["embeddings"], expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_away_or_silent_leaves_the_search_by_words_and_says_so() {
    let meaning = Meaning::new(&[("Baking bread", &[]), ("Bread of yesterday", &[]), ("A garden", &[])]).await;
    for (mood, query, degraded) in [
        (Mood::Failing(500), "baking bread", "embeddings_unavailable"),
        (Mood::Silent, "the bread of baking", "embeddings_timeout"),
    ] {
        meaning.embedder.be(mood);
        let answer = meaning.search(json!({"query": query, "explain": true, "limit": 1})).await;
        assert_eq!(answer["degraded"], degraded);
        assert_eq!((contents(&answer).len(), &answer["total"]), (1, &json!({"value": 2, "relation": "eq"})));
        assert_eq!(answer["results"][0]["explain"]["rank_by_meaning"], Value::Null);
        meaning.embedder.be(Mood::Willing);
        meaning.embedder.drain();
        let next = meaning.search(json!({"query": query, "limit": 1, "cursor": answer["next_cursor"]})).await;
        assert_eq!(next["degraded"], degraded, "a page is found as the one before");
        assert_ne!(contents(&next), contents(&answer));
        assert!(meaning.embedder.drain().is_empty());
        assert_eq!(next["has_more"], false);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vector_that_cannot_be_compared_leaves_the_search_by_words_and_says_so() {
    let meaning = Meaning::new(&[("Baking bread", &[]), ("A garden", &[])]).await;
    meaning.embedder.lengthen(8);
    let answer = meaning.search(json!({"query": "bread for two", "explain": true})).await;
    assert_eq!((&answer["degraded"], contents(&answer)), (&json!("embeddings_unavailable"), vec!["Baking bread"]));
    assert_eq!(answer["results"][0]["explain"]["rank_by_words"], Value::Null, "nothing was joined");
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_phrases_and_exclusions_hold_for_what_is_found_by_meaning() {
    let meaning = Meaning::new(&[
        ("white bread", &["kitchen"]),
        ("black bread", &["kitchen", "rye"]),
        ("хлеб насущный", &["book"]),
        ("a garden", &["rye"]),
    ])
    .await;
    let found = async |body: Value| {
        let answer = meaning.search(body).await;
        let mut contents: Vec<String> = contents(&answer).into_iter().map(str::to_owned).collect();
        contents.sort();
        contents
    };
    assert_eq!(found(json!({"query": "булка хлеба", "tags": ["kitchen"]})).await, ["black bread", "white bread"]);
    assert_eq!(found(json!({"query": "булка хлеба tag:rye -garden"})).await, ["black bread"]);
    assert_eq!(found(json!({"query": "булка -white -garden -насущный"})).await, ["black bread"]);
    assert_eq!(found(json!({"query": "хлеб \"white bread\""})).await, ["white bread"]);
    assert_eq!(found(json!({"query": "bread", "lang": "ru"})).await, ["хлеб насущный"]);
    assert_eq!(found(json!({"query": "хлеб domain:nowhere"})).await, Vec::<String>::new());
    let facets = meaning.search(json!({"query": "хлеб", "facets": true, "limit": 1})).await["facets"]["tag"].clone();
    let expected = json!([{"name": "kitchen", "count": 2}, {"name": "rye", "count": 2}, {"name": "book", "count": 1}]);
    assert_eq!(facets, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_of_a_search_by_meaning_repeat_and_leave_out_nothing() {
    let texts: Vec<String> = (0..30)
        .map(|number| match number % 3 {
            0 => format!("bread, recipe {number}"),
            1 => format!("хлеб, рецепт {number}"),
            _ => format!("a note about {number} things"),
        })
        .collect();
    let texts: Vec<(&str, &[&str])> = texts.iter().map(|text| (text.as_str(), [].as_slice())).collect();
    let meaning = Meaning::new(&texts).await;
    let (mut seen, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let answer = meaning.search(json!({"query": "хлеб recipe", "limit": 7, "cursor": cursor})).await;
        assert_eq!(answer["total"], json!({"value": 30, "relation": "gte"}));
        seen.extend(contents(&answer).into_iter().map(str::to_owned));
        cursor = answer["next_cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert!(seen[..20].iter().all(|text| !text.contains("note")), "{seen:?}");
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 30);
    assert_eq!(meaning.embedder.texts(), ["хлеб recipe"], "the provider is asked once for all pages");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_typed_or_sorted_otherwise_does_not_go_to_the_provider() {
    let mut meaning = Meaning::new(&[("Baking bread", &[])]).await;
    for body in [json!({"query": "bread", "mode": "suggest"}), json!({"query": "bread", "sort": "created_at"})] {
        assert_eq!(meaning.search(body).await["degraded"], Value::Null);
    }
    assert!(meaning.embedder.drain().is_empty());
    let id = meaning.bench.create("/knowledge", &json!({"content": "Bread toasted"})).await;
    assert_eq!(contents(&meaning.search(json!({"query": "toasted хлеб"})).await)[0], "Bread toasted", "by its words");
    meaning.bench.delete(&id).await;
    assert_eq!(contents(&meaning.search(json!({"query": "хлеб снова"})).await), ["Baking bread"]);
    meaning.embed().await;
    assert_eq!(contents(&meaning.search(json!({"query": "хлеб снова"})).await), ["Baking bread"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_provider_nothing_of_it_shows() {
    let bench = Bench::new().await;
    bench.create("/knowledge", &json!({"content": "Baking bread"})).await;
    let answer = bench.post("/search", &json!({"query": "bread", "explain": true})).await;
    assert!(!answer.text.contains("degraded") && !answer.text.contains("rank_by"), "{}", answer.text);
    assert_eq!(answer.json()["total"], json!({"value": 1, "relation": "eq"}));
    assert_eq!(bench.get("/stats").await.json()["embeddings"], json!({"enabled": false}));
    let vectors = bench.db.client().await.query_one("SELECT count(*) FROM knowledge_vectors", &[]).await.unwrap();
    assert_eq!(vectors.get::<_, i64>(0), 0);
}
