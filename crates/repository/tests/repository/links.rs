//! Links that several writers make at the same time.

use kos_model::knowledge::KnowledgeDraft;
use kos_model::link::{LinkDraft, NewLink};
use kos_model::{KnowledgeId, LinkOrigin};
use kos_repository::{LinkFate, Repository};
use kos_test_support::TestDb;

use crate::builders::{free, repository};

async fn item(repository: &Repository) -> KnowledgeId {
    let draft = KnowledgeDraft { content: "x".to_owned(), ..KnowledgeDraft::default() };
    repository.knowledge_create(&draft.check().unwrap(), &free()).await.unwrap().0.id
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
