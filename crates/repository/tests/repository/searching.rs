//! Full text: what is found, and in what order.

use kos_model::knowledge::KnowledgeDraft;
use kos_repository::{KnowledgeSearch, Repository};
use kos_test_support::TestDb;

use crate::builders::{free, repository};

async fn know(repository: &Repository, content: &str, domain: &str, confidence: f64) {
    let draft = KnowledgeDraft {
        content: content.to_owned(),
        domain: Some(domain.to_owned()),
        confidence_score: Some(confidence),
        ..KnowledgeDraft::default()
    };
    repository.knowledge_create(&draft.check().unwrap(), "api", &free()).await.unwrap();
}

async fn found(repository: &Repository, search: KnowledgeSearch) -> Vec<String> {
    let hits = repository.knowledge_search(&KnowledgeSearch { limit: 10, ..search }).await.unwrap();
    hits.into_iter().map(|hit| hit.content).collect()
}

fn words(words: &[&str]) -> KnowledgeSearch {
    KnowledgeSearch { any: words.iter().map(|word| (*word).to_owned()).collect(), ..KnowledgeSearch::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn russian_and_english_words_are_found_in_their_other_forms() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    know(&repository, "Лучшие практики асинхронного программирования", "python", 0.9).await;
    know(&repository, "Best practices of running databases", "sql", 0.5).await;
    assert_eq!(found(&repository, words(&["практика"])).await.len(), 1);
    assert_eq!(found(&repository, words(&["practice"])).await.len(), 1);
    assert_eq!(found(&repository, words(&["nothing", "database"])).await.len(), 1, "any word is enough");
    assert!(found(&repository, words(&["и", "the"])).await.is_empty(), "stop words ask for nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn phrases_exclusions_and_filters_narrow_what_is_found() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    know(&repository, "the event loop blocks", "python", 0.9).await;
    know(&repository, "loop over every event", "python", 0.9).await;
    know(&repository, "the event loop of a browser", "web", 0.2).await;
    let phrase = KnowledgeSearch { phrases: vec!["event loop".to_owned()], ..KnowledgeSearch::default() };
    assert_eq!(found(&repository, phrase.clone()).await.len(), 2);
    let without = KnowledgeSearch { without: vec!["browser".to_owned()], ..phrase.clone() };
    assert_eq!(found(&repository, without).await, ["the event loop blocks"]);
    let domain = KnowledgeSearch { domain: Some("web".to_owned()), ..phrase.clone() };
    assert_eq!(found(&repository, domain).await.len(), 1);
    let sure = KnowledgeSearch { min_confidence: Some(0.5), ..phrase };
    assert_eq!(found(&repository, sure).await.len(), 1);
    let only_without = KnowledgeSearch { without: vec!["browser".to_owned()], ..KnowledgeSearch::default() };
    assert!(found(&repository, only_without).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn signs_that_mean_something_to_postgres_mean_nothing_here() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    know(&repository, "it's a <b>test</b> \\ of \"quotes\"", "x", 1.0).await;
    for odd in ["'", "\\", "''':*", "a & | !", "<->", "it's", "\"", "%", "test:*"] {
        found(&repository, words(&[odd])).await;
        let phrase = KnowledgeSearch { phrases: vec![odd.to_owned()], without: vec![odd.to_owned()], ..words(&[odd]) };
        found(&repository, phrase).await;
    }
    let hits = repository.knowledge_search(&KnowledgeSearch { limit: 1, ..words(&["tests"]) }).await.unwrap();
    assert!(hits[0].highlight.contains("\u{2}test\u{3}"), "{}", hits[0].highlight);
}
