//! Knowledge in bulk, and the indexes that its questions need.

use kos_model::KnowledgeId;
use kos_model::knowledge::transfer::{ImportFate, ImportLine, KnowledgeLine};
use kos_model::knowledge::{KnowledgeDraft, KnowledgeEditDraft, NewKnowledge};
use kos_repository::{ChangeTerms, Error, KnowledgeExport, Repository, Stored};
use kos_test_support::TestDb;
use tokio_postgres::Client;

use crate::builders::{claim, free, leased, repository, until_one_waits, webhook};

fn texts(count: usize) -> Vec<NewKnowledge> {
    let draft = |number| KnowledgeDraft { content: format!("text {number}"), ..KnowledgeDraft::default() };
    (0..count).map(|number| draft(number).check().unwrap()).collect()
}

/// All that is exported, and in how many pages.
async fn exported(repository: &Repository) -> (Vec<KnowledgeLine>, usize) {
    let (mut lines, mut pages) = (Vec::new(), 0);
    let mut export = KnowledgeExport::new(None, None);
    while let Some((page, rest)) = repository.knowledge_export(export).await.unwrap() {
        let text = String::from_utf8(page.lines).unwrap();
        assert_eq!(u64::try_from(text.lines().count()).unwrap(), page.items);
        lines.extend(text.lines().map(|line| serde_json::from_str::<KnowledgeLine>(line).unwrap()));
        export = rest;
        pages += 1;
    }
    (lines, pages)
}

fn item(line: &str) -> ImportLine {
    ImportLine::read(1, line.as_bytes()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_holds_everything_once_over_all_its_pages() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let (stored, _) = repository.knowledge_create_all(&texts(700), "api", &free()).await.unwrap();
    let (lines, pages) = exported(&repository).await;
    let mut ids: Vec<KnowledgeId> = stored.iter().map(Stored::id).collect();
    ids.sort_unstable();
    assert_eq!(lines.iter().map(|line| line.id.unwrap()).collect::<Vec<_>>(), ids);
    assert!(pages > 2, "{pages}");
}

#[tokio::test(flavor = "multi_thread")]
async fn near_duplicates_and_pages_are_found_by_their_indexes() {
    let db = TestDb::new().await;
    let client = db.client().await;
    let rows = "INSERT INTO knowledge (content, content_hash, simhash)
                SELECT n::text, sha256(n::text::bytea), n * 3037000499::bigint * 1000003 FROM generate_series(1, 3000) AS n;
                ANALYZE knowledge";
    client.batch_execute(rows).await.unwrap();
    for (query, index) in [
        ("SELECT id FROM knowledge WHERE simhash & 65535 = $1::bigint & 65535 AND deleted_at IS NULL", "simhash_1"),
        (
            "SELECT id FROM knowledge WHERE simhash >> 16 & 65535 = $1::bigint >> 16 & 65535 AND deleted_at IS NULL",
            "simhash_2",
        ),
        (
            "SELECT id FROM knowledge WHERE simhash >> 32 & 65535 = $1::bigint >> 32 & 65535 AND deleted_at IS NULL",
            "simhash_3",
        ),
        (
            "SELECT id FROM knowledge WHERE simhash >> 48 & 65535 = $1::bigint >> 48 & 65535 AND deleted_at IS NULL",
            "simhash_4",
        ),
        ("SELECT id FROM knowledge WHERE content_hash = $1 AND (deleted_at IS NULL) IS TRUE", "content_hash"),
    ] {
        client.batch_execute("SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan").await.unwrap();
        let kind = if index == "content_hash" { "bytea" } else { "bigint" };
        let explain = format!("DEALLOCATE ALL; PREPARE asked({kind}) AS {query}; EXPLAIN EXECUTE asked(NULL)");
        let plan = client.simple_query(&explain).await.unwrap();
        assert!(format!("{plan:?}").contains(&format!("knowledge_{index}_idx")), "{query}: {plan:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_created_together_is_told_together_and_nothing_of_what_was_there() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    webhook(&repository, &["knowledge_created"]).await;
    let first = texts(2);
    repository.knowledge_create_all(&first, "api", &free()).await.unwrap();
    assert_eq!(claim(&repository).await.len(), 2);
    let (stored, emitted) = repository.knowledge_create_all(&texts(4), "api", &leased()).await.unwrap();
    let created: Vec<bool> = stored.iter().map(|stored| matches!(stored, Stored::Created(_))).collect();
    assert_eq!(created, [false, false, true, true]);
    assert_eq!(emitted.iter().map(|emitted| emitted.claimed.len()).collect::<Vec<_>>(), [1, 1]);
    let (_, none) = repository.knowledge_create_all(&texts(4), "api", &leased()).await.unwrap();
    assert!(none.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_fails_leaves_neither_version_nor_event_nor_domain() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let (stored, _) = repository.knowledge_create_all(&texts(2), "api", &free()).await.unwrap();
    let (lease, [one, two]) = (free(), [stored[0].id(), stored[1].id()]);
    let edit = KnowledgeEditDraft {
        content: Some(Some("TEXT 1".to_owned())),
        domain: Some(Some("new".to_owned())),
        ..KnowledgeEditDraft::default()
    };
    let terms = ChangeTerms { version: None, actor: "api", lease: &lease };
    let refused = repository.knowledge_update(one, &edit.clone().check().unwrap(), terms).await.unwrap_err();
    assert!(matches!(refused, Error::Duplicate { id } if id == two), "{refused:?}");
    let stale = ChangeTerms { version: Some(7), ..terms };
    let refused = repository.knowledge_update(two, &edit.check().unwrap(), stale).await.unwrap_err();
    assert!(matches!(refused, Error::Stale), "{refused:?}");
    assert_eq!(repository.knowledge_get(one).await.unwrap().unwrap().version, 1);
    assert_eq!(repository.stats().await.unwrap().totals.domains, 0);
    assert_eq!(repository.event_list(None, None, 10).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn feedback_under_way_and_who_deletes_its_item_do_not_wait_for_each_other() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let (other, watcher) = (db.client().await, db.client().await);
    let lease = free();
    let terms = ChangeTerms { version: None, actor: "api", lease: &lease };
    let stored = repository.knowledge_create_all(&texts(3), "api", &lease).await.unwrap().0;
    let ids: Vec<KnowledgeId> = stored.iter().map(Stored::id).collect();
    repository.knowledge_delete(ids[2], terms).await.unwrap();
    for (number, id) in ids.into_iter().enumerate() {
        // As an interaction does: it holds what it points at, and then adds to it.
        other.batch_execute(&format!("BEGIN; SELECT FROM knowledge WHERE id = '{id}' FOR KEY SHARE")).await.unwrap();
        let waiting = async {
            until_one_waits(&watcher).await;
            let add = format!(
                "INSERT INTO interactions (knowledge_id, query, feedback_score) VALUES ('{id}', 'x', 5); COMMIT"
            );
            other.batch_execute(&add).await
        };
        let change = async {
            match number {
                0 => repository.knowledge_delete(id, terms).await,
                1 => repository.knowledge_purge(id, terms).await,
                _ => repository.knowledge_restore(id, terms).await,
            }
        };
        let (changed, added) = tokio::join!(change, waiting);
        added.unwrap();
        assert!(changed.unwrap().is_some());
    }
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    let deadlocks: i64 = watcher.query_one(deadlocks, &[]).await.unwrap().get(0);
    assert_eq!(deadlocks, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn importers_of_the_same_lines_at_once_store_each_once() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let lines: Vec<ImportLine> = (0..200)
        .map(|number| item(&format!(r#"{{"id": "01900000-0000-7000-8000-{number:012}", "content": "line {number}"}}"#)))
        .collect();
    let importers = (0..4).map(|_| repository.knowledge_import(&lines, None));
    let mut imported = 0;
    for done in futures_util::future::join_all(importers).await {
        let (fates, told) = done.unwrap();
        assert!(told.is_empty());
        imported += fates.iter().filter(|fate| **fate == ImportFate::Imported).count();
    }
    assert_eq!((imported, exported(&repository).await.0.len()), (200, 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_comes_twice_in_one_chunk_is_taken_once() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let line = r#"{"id": "01900000-0000-7000-8000-000000000000", "content": "a"}"#;
    let other = r#"{"id": "01900000-0000-7000-8000-000000000000", "content": "b"}"#;
    let (fates, _) = repository.knowledge_import(&[item(line), item(other)], None).await.unwrap();
    assert_eq!(fates, [ImportFate::Imported, ImportFate::Duplicate]);
}

/// By how many transactions the knowledge was stored.
async fn transactions(db: &TestDb) -> i64 {
    let client = db.client().await;
    client.query_one("SELECT count(DISTINCT xmin::text) FROM knowledge", &[]).await.unwrap().get(0)
}

/// How many wait until they may read or write knowledge.
async fn waiting(client: &Client) -> i64 {
    let waiting = "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database
                   WHERE d.datname = current_database() AND relation = 'knowledge'::regclass AND NOT granted";
    client.query_one(waiting, &[]).await.unwrap().get(0)
}

/// A repository whose next import finds two connections.
async fn with_two_connections(db: &TestDb) -> Repository {
    let (repository, client) = (repository(db).await, db.client().await);
    client.batch_execute("BEGIN; LOCK TABLE knowledge").await.unwrap();
    let look = || repository.knowledge_get(KnowledgeId::generate());
    let unlock = async {
        while waiting(&client).await < 2 {
            tokio::task::yield_now().await;
        }
        client.batch_execute("COMMIT").await.unwrap();
    };
    let (one, other, ()) = futures_util::future::join3(look(), look(), unlock).await;
    assert!(one.is_ok() && other.is_ok());
    repository
}

#[tokio::test(flavor = "multi_thread")]
async fn new_lines_are_stored_by_two_and_follow_each_other_as_in_the_file() {
    let db = TestDb::new().await;
    let repository = with_two_connections(&db).await;
    let lines: Vec<ImportLine> = (0..600).map(|number| item(&format!(r#"{{"content": "line {number}"}}"#))).collect();
    let (fates, _) = repository.knowledge_import(&lines, None).await.unwrap();
    assert_eq!((fates, transactions(&db).await), (vec![ImportFate::Imported; 600], 2));
    let (mut stored, _) = exported(&repository).await;
    stored.sort_by_key(|line| (line.created_at, line.id));
    let contents: Vec<_> = stored.iter().map(|line| line.content.clone()).collect();
    assert_eq!(contents, (0..600).map(|number| format!("line {number}")).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_are_told_of_or_name_a_new_domain_are_stored_by_one() {
    for (domain, events) in [(r#", "domain": "new""#, None), ("", Some(free()))] {
        let db = TestDb::new().await;
        let repository = with_two_connections(&db).await;
        let line = |number| item(&format!(r#"{{"content": "line {number}"{domain}}}"#));
        let lines: Vec<ImportLine> = (0..600).map(line).collect();
        repository.knowledge_import(&lines, events.as_ref()).await.unwrap();
        assert_eq!(transactions(&db).await, 1, "{domain}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_text_is_lost_when_another_stores_an_id_of_the_file_in_the_middle_of_it() {
    let db = TestDb::new().await;
    let repository = with_two_connections(&db).await;
    let (id, client) = ("01900000-0000-7000-8000-000000000001", db.client().await);
    let mut lines: Vec<ImportLine> =
        (0..600).map(|number| item(&format!(r#"{{"content": "line {number}"}}"#))).collect();
    lines.insert(0, item(&format!(r#"{{"id": "{id}", "content": "its new text"}}"#)));
    lines.push(item(r#"{"content": "a text"}"#));
    // Nobody can lock rows until the other has stored the id.
    client.batch_execute("BEGIN; LOCK TABLE knowledge IN EXCLUSIVE MODE").await.unwrap();
    let import = tokio::spawn(async move { repository.knowledge_import(&lines, None).await.unwrap().0 });
    while waiting(&client).await < 2 {
        assert!(!import.is_finished());
        tokio::task::yield_now().await;
    }
    let other = format!(
        "INSERT INTO knowledge (id, content, content_hash) VALUES ('{id}', 'a text', sha256('a text')); COMMIT"
    );
    client.batch_execute(&other).await.unwrap();
    let fates = import.await.unwrap();
    assert_eq!(fates[0], ImportFate::Updated);
    let there = "SELECT EXISTS (SELECT FROM knowledge WHERE content = 'a text')";
    let is_there: bool = client.query_one(there, &[]).await.unwrap().get(0);
    let is_refused = matches!(&fates[601], ImportFate::Failed(fault) if fault.code == "taken");
    assert!(is_there || is_refused, "{:?}", fates[601]);
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_far_apart_that_touch_each_other_become_what_they_would_one_after_the_other() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let (one, two) = ("01900000-0000-7000-8000-000000000001", "01900000-0000-7000-8000-000000000002");
    let with = |id: &str, content: &str| item(&format!(r#"{{"id": "{id}", "content": "{content}"}}"#));
    let chunk = |first: ImportLine, last: ImportLine, name: &str| {
        let between = (0..600).map(|number| item(&format!(r#"{{"content": "{name} {number}"}}"#)));
        [first].into_iter().chain(between).chain([last]).collect::<Vec<_>>()
    };
    let ends = async |lines: &[ImportLine]| {
        let (fates, _) = repository.knowledge_import(lines, None).await.unwrap();
        assert_eq!(fates[1..601], vec![ImportFate::Imported; 600]);
        (fates[0].clone(), fates[601].clone())
    };
    let twice = chunk(with(one, "a text"), item(r#"{"content": "a text"}"#), "a");
    assert_eq!(ends(&twice).await, (ImportFate::Imported, ImportFate::Duplicate));
    let moved = chunk(with(one, "another text"), with(two, "a text"), "b");
    assert_eq!(ends(&moved).await, (ImportFate::Updated, ImportFate::Imported));
    let late = chunk(item(r#"{"content": "a text"}"#), with(two, "a third text"), "c");
    let (refused, changed) = ends(&late).await;
    assert!(matches!(&refused, ImportFate::Failed(fault) if fault.code == "taken"), "{refused:?}");
    assert_eq!(changed, ImportFate::Updated);
}
