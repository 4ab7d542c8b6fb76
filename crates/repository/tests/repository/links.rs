//! Links that several writers make at the same time.

use kos_graph::{Direction, Walk};
use kos_model::knowledge::KnowledgeDraft;
use kos_model::link::{LinkDraft, NewLink};
use kos_model::{KnowledgeId, LinkOrigin};
use kos_repository::{ChangeTerms, LinkFate, LinkFilter, Repository};
use kos_test_support::TestDb;

use crate::builders::{free, repository, until_one_waits};

async fn item(repository: &Repository) -> KnowledgeId {
    // A text of its own, or the same item would come back.
    let content = KnowledgeId::generate().to_string();
    let draft = KnowledgeDraft { content, ..KnowledgeDraft::default() };
    repository.knowledge_create(&draft.check().unwrap(), "api", &free()).await.unwrap().record.id
}

fn link(source: KnowledgeId, kind: &str, target: KnowledgeId) -> NewLink {
    let draft = LinkDraft {
        source_id: source.to_string(),
        target_id: target.to_string(),
        kind: kind.to_owned(),
        weight: None,
        note: None,
        metadata: None,
        origin: LinkOrigin::Manual,
    };
    draft.check().unwrap()
}

/// Makes all of them at the same time, each in a transaction of its own.
async fn race(repository: &Repository, links: Vec<Vec<NewLink>>) -> Vec<Vec<LinkFate>> {
    let write = |links: Vec<NewLink>| {
        let repository = repository.clone();
        tokio::spawn(async move { repository.link_create_all(&links, &free()).await.unwrap().0 })
    };
    let writers: Vec<_> = links.into_iter().map(write).collect();
    let mut fates = Vec::new();
    for writer in writers {
        fates.push(writer.await.unwrap());
    }
    fates
}

fn count(fates: &[Vec<LinkFate>], is: fn(&LinkFate) -> bool) -> usize {
    fates.iter().flatten().filter(|fate| is(fate)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_who_would_close_a_circle_together_do_not() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    for kind in ["depends_on", "part_of"] {
        for _ in 0..10 {
            let (a, b, c) = (item(&repository).await, item(&repository).await, item(&repository).await);
            let ring = vec![vec![link(a, kind, b)], vec![link(b, kind, c)], vec![link(c, kind, a)]];
            let fates = race(&repository, ring).await;
            assert_eq!(count(&fates, |fate| matches!(fate, LinkFate::Created(_))), 2, "{fates:?}");
            assert_eq!(
                count(&fates, |fate| matches!(fate, LinkFate::Cyclic(circle) if circle.len() == 4)),
                1,
                "{fates:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_writers_of_one_link_one_makes_it_and_the_other_finds_it() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    for kind in ["supports", "related_to", "depends_on"] {
        let (a, b) = (item(&repository).await, item(&repository).await);
        let fates = race(&repository, vec![vec![link(a, kind, b)]; 6]).await;
        assert_eq!(count(&fates, |fate| matches!(fate, LinkFate::Created(_))), 1, "{fates:?}");
        assert_eq!(count(&fates, |fate| matches!(fate, LinkFate::Present(_))), 5, "{fates:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_of_the_same_links_in_other_orders_do_not_wait_for_each_other() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(item(&repository).await);
    }
    let mut links: Vec<NewLink> = Vec::new();
    for pair in ids.windows(2) {
        links.extend(["supports", "part_of", "contradicts", "depends_on"].map(|kind| link(pair[0], kind, pair[1])));
    }
    let mut reversed = links.clone();
    reversed.reverse();
    let made = links.len();
    let fates = race(&repository, vec![links.clone(), reversed.clone(), links, reversed]).await;
    assert_eq!(count(&fates, |fate| matches!(fate, LinkFate::Created(_))), made);
    assert_eq!(count(&fates, |fate| matches!(fate, LinkFate::Present(_))), 3 * made);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_made_while_its_end_is_deleted_is_not_seen_until_the_end_is_back() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    for _ in 0..10 {
        let (a, b) = (item(&repository).await, item(&repository).await);
        let client = db.client().await;
        let delete = async {
            client.batch_execute(&deletion("now()", b)).await.unwrap();
        };
        let (fates, ()) = tokio::join!(race(&repository, vec![vec![link(a, "supports", b)]]), delete);
        let made = count(&fates, |fate| matches!(fate, LinkFate::Created(_)));
        assert_eq!(seen(&repository, a).await, 0, "{fates:?}");
        client.batch_execute(&deletion("NULL", b)).await.unwrap();
        assert_eq!(seen(&repository, a).await, made, "{fates:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_is_changed_while_a_link_to_it_is_made_and_deleted_after_it() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let (a, b) = (item(&repository).await, item(&repository).await);
    let (maker, watcher) = (db.client().await, db.client().await);
    let make =
        format!("BEGIN; INSERT INTO knowledge_links (source_id, target_id, kind) VALUES ('{a}', '{b}', 'supports')");
    maker.batch_execute(&make).await.unwrap();
    let lease = free();
    let terms = ChangeTerms { version: None, actor: "api", lease: &lease };
    assert!(repository.knowledge_verify(b, terms).await.unwrap().is_some());
    let waiting = async {
        until_one_waits(&watcher).await;
        maker.batch_execute("COMMIT").await.unwrap();
    };
    let (deleted, ()) = tokio::join!(repository.knowledge_delete(b, terms), waiting);
    assert!(deleted.unwrap().is_some());
    assert_eq!(seen(&repository, a).await, 0);
    assert!(repository.knowledge_restore(b, terms).await.unwrap().is_some());
    assert_eq!(seen(&repository, a).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ends_may_come_and_go_at_the_same_time() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let (a, b) = (item(&repository).await, item(&repository).await);
    for kind in ["supports", "related_to", "depends_on", "supported_by"] {
        repository.link_create_all(&[link(a, kind, b)], &free()).await.unwrap();
    }
    let (first, second) = (db.client().await, db.client().await);
    for (deleted, visible) in [("now()", 0), ("NULL", 4), ("now()", 0), ("NULL", 4)] {
        let (of_a, of_b) = (deletion(deleted, a), deletion(deleted, b));
        let (one, other) = tokio::join!(first.batch_execute(&of_a), second.batch_execute(&of_b));
        one.unwrap();
        other.unwrap();
        assert_eq!(seen(&repository, a).await, visible);
    }
}

fn deletion(at: &str, id: KnowledgeId) -> String {
    format!("UPDATE knowledge SET deleted_at = {at} WHERE id = '{id}'")
}

/// How many links of an item are listed; none where the item is not there.
async fn seen(repository: &Repository, id: KnowledgeId) -> usize {
    let filter = LinkFilter { walk: Walk::seen(&[], Direction::Both, 0.0), history: true };
    repository.link_list(id, &filter, None, 100).await.unwrap().unwrap_or_default().len()
}
