//! Links that are held in the process: whoever changes them, and however, a walk sees them as they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use kos_graph::{Direction, Walk};
use kos_model::KnowledgeId;
use kos_repository::{Around, PathRecord, PathWish, Reach, Repository};
use kos_test_support::TestDb;

use crate::builders::repository;

const ITEMS: usize = 8;

fn item(number: usize) -> KnowledgeId {
    format!("01900000-0000-7000-8000-{number:012x}").parse().unwrap()
}

/// A database with items, and links from each to the next.
async fn ring() -> TestDb {
    let db = TestDb::new().await;
    let mut statements = String::new();
    for number in 0..ITEMS {
        statements += &add_item(number);
    }
    for number in 0..ITEMS {
        statements += &add_link(number, (number + 1) % ITEMS, 5);
    }
    db.client().await.batch_execute(&statements).await.unwrap();
    db
}

/// The same, and who holds its links.
async fn held_ring() -> (TestDb, Repository) {
    let db = ring().await;
    let held = repository(&db).await;
    held.graph_hold().await.unwrap();
    (db, held)
}

fn add_item(number: usize) -> String {
    let id = item(number);
    format!(
        "INSERT INTO knowledge (id, content, content_hash) VALUES ('{id}', 'item {number}', '{id}') ON CONFLICT DO NOTHING;"
    )
}

fn add_link(source: usize, target: usize, tenths: usize) -> String {
    format!(
        "INSERT INTO knowledge_links (source_id, target_id, kind, weight)
         SELECT '{}', '{}', 'supports', {tenths} / 10.0
         WHERE (SELECT count(*) FROM knowledge WHERE id IN ('{0}', '{1}') AND deleted_at IS NULL) = 2
         ON CONFLICT DO NOTHING;",
        item(source),
        item(target)
    )
}

async fn around(repository: &Repository, number: usize) -> Option<Around> {
    let walk = Walk::new(&[], Direction::Both, 0.0);
    repository.graph_around(item(number), &walk, Reach { depth: 2, limit: 5, degrees: true }).await.unwrap()
}

async fn path(repository: &Repository, from: usize, to: usize, weighted: bool) -> PathRecord {
    let walk = Walk::new(&[], Direction::Out, 0.1);
    repository.graph_path(item(from), item(to), &walk, PathWish { weighted, max_depth: 5 }).await.unwrap()
}

/// All that the walks say.
async fn seen(repository: &Repository) -> (Vec<Option<Around>>, Vec<PathRecord>) {
    let (mut arounds, mut paths) = (Vec::new(), Vec::new());
    for number in 0..ITEMS {
        arounds.push(around(repository, number).await);
        paths.push(path(repository, number, (number + 3) % ITEMS, true).await);
        paths.push(path(repository, number, (number + 3) % ITEMS, false).await);
    }
    (arounds, paths)
}

/// What the table says: a process holds no links at its first walk.
async fn stored(db: &TestDb) -> (Vec<Option<Around>>, Vec<PathRecord>) {
    let (mut arounds, mut paths) = (Vec::new(), Vec::new());
    for number in 0..ITEMS {
        arounds.push(around(&repository(db).await, number).await);
        paths.push(path(&repository(db).await, number, (number + 3) % ITEMS, true).await);
        paths.push(path(&repository(db).await, number, (number + 3) % ITEMS, false).await);
    }
    (arounds, paths)
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_others_do_to_links_a_walk_sees_it() {
    let (db, held) = held_ring().await;
    let client = db.client().await;
    // Some links change their ends too, which the service never does.
    let mut chance = 7_usize;
    let mut below = |limit: usize| {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (chance >> 33) % limit
    };
    for step in 0..40 {
        let (one, other, tenths) = (below(ITEMS), below(ITEMS - 1), below(10));
        let link = format!("source_id = '{}' AND valid_to IS NULL", item(one));
        let change = match below(8) {
            0 | 1 => add_link(one, (one + 1 + other) % ITEMS, tenths),
            2 => format!("UPDATE knowledge_links SET weight = {tenths} / 10.0 WHERE {link}"),
            3 => format!("UPDATE knowledge_links SET valid_to = now() WHERE {link}"),
            4 => format!("UPDATE knowledge SET deleted_at = now() WHERE id = '{}'", item(one)),
            5 => format!("UPDATE knowledge SET deleted_at = NULL WHERE id = '{}'", item(one)),
            6 => format!(
                "UPDATE knowledge_links SET target_id = '{}' WHERE id = (
                     SELECT id FROM knowledge_links WHERE {link} AND gone_ends = 0 LIMIT 1
                 ) AND gone_ends = 0 AND NOT EXISTS (
                     SELECT FROM knowledge WHERE id = '{0}' AND deleted_at IS NOT NULL
                 ) AND NOT EXISTS (
                     SELECT FROM knowledge_links WHERE {link} AND target_id = '{0}'
                 )",
                item((one + 1 + other) % ITEMS)
            ),
            _ => format!("DELETE FROM knowledge WHERE id = '{}'; {}", item(one), add_item(one)),
        };
        client.batch_execute(&change).await.unwrap();
        assert_eq!(seen(&held).await, stored(&db).await, "step {step}: {change}");
    }
    let links: i64 = client
        .query_one("SELECT count(*) FROM knowledge_links WHERE valid_to IS NULL AND gone_ends = 0", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(held.graph_held(), usize::try_from(links).ok(), "they were held all the time");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_others_do_to_items_a_walk_sees_it() {
    let (db, held) = held_ring().await;
    let client = db.client().await;
    let items: String = (0..ITEMS).map(add_item).collect();
    let links: String = (0..ITEMS).map(|number| add_link(number, (number + 1) % ITEMS, 5)).collect();
    let (one, other) = (item(1), "01900000-0000-7000-8000-0000000000ff");
    let domain = format!("INSERT INTO domains (id, name) VALUES ('{other}', 'old')");
    for change in [
        format!("UPDATE knowledge SET content = 'what it says' WHERE id = '{one}'"),
        format!("UPDATE knowledge SET title = 'its title' WHERE id = '{one}'"),
        format!("{domain}; UPDATE knowledge SET domain_id = '{other}' WHERE id = '{one}'"),
        "UPDATE domains SET name = 'new'".to_owned(),
        "WITH gone AS (DELETE FROM domains RETURNING id) INSERT INTO domains (id, name) SELECT id, 'other' FROM gone"
            .to_owned(),
        "CREATE FUNCTION louder() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.title := ''LOUD''; RETURN NEW; END';
         CREATE TRIGGER louder BEFORE UPDATE ON knowledge FOR EACH ROW EXECUTE FUNCTION louder();
         UPDATE knowledge SET tags = '{x}'; DROP TRIGGER louder ON knowledge"
            .to_owned(),
        "UPDATE knowledge SET title = content".to_owned(),
        format!("UPDATE knowledge SET deleted_at = now() WHERE id = '{one}'"),
        format!("UPDATE knowledge SET title = 'meanwhile', deleted_at = NULL WHERE id = '{one}'"),
        "DELETE FROM knowledge".to_owned(),
        items.clone() + &links,
        "UPDATE knowledge SET title = 'before'; TRUNCATE knowledge CASCADE".to_owned(),
        items + &links,
    ] {
        client.batch_execute(&change).await.unwrap();
        assert_eq!(seen(&held).await, stored(&db).await, "{change}");
    }
    assert_eq!(around(&held, 1).await.unwrap().nodes.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn very_many_items_that_changed_leave_the_links_where_they_are() {
    let (db, held) = held_ring().await;
    let client = db.client().await;
    let many = "INSERT INTO knowledge (content, content_hash) SELECT 'leaf', n::text::bytea FROM generate_series(1, 2001) AS n";
    client.batch_execute(many).await.unwrap();
    client.batch_execute("UPDATE knowledge SET title = 'new'").await.unwrap();
    assert!(around(&held, 0).await.unwrap().nodes.iter().all(|(node, _)| node.label == "new"));
    assert_eq!(held.graph_held(), Some(ITEMS));
    assert_eq!(held.link_changes_forget().await.unwrap(), 0, "somebody may not know yet");
    assert_eq!(held.link_changes_forget().await.unwrap(), 2_001 + ITEMS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_never_shows_what_was_changed_before_it_began() {
    let (db, held) = held_ring().await;
    let client = db.client().await;
    let written = Arc::new(AtomicU64::new(0));
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (held, written, done) = (held.clone(), Arc::clone(&written), Arc::clone(&done));
            tokio::spawn(async move {
                while !done.load(Ordering::SeqCst) {
                    let before = written.load(Ordering::SeqCst);
                    let label = around(&held, 1).await.unwrap().nodes.remove(0).0.label;
                    let shown: u64 = label.parse().unwrap_or_default();
                    assert!(shown >= before, "{shown} was shown after {before} was written");
                }
            })
        })
        .collect();
    for number in 1..=400_u64 {
        let change = format!("UPDATE knowledge SET title = '{number}' WHERE id = '{}'", item(1));
        client.batch_execute(&change).await.unwrap();
        written.store(number, Ordering::SeqCst);
    }
    done.store(true, Ordering::SeqCst);
    for reader in readers {
        reader.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_was_under_way_is_seen_when_it_commits_and_hides_no_other() {
    let db = ring().await;
    let (slow, quick) = (db.client().await, db.client().await);
    slow.batch_execute(&format!("BEGIN; {}", add_link(0, 4, 10))).await.unwrap();
    let held = repository(&db).await;
    held.graph_hold().await.unwrap();
    let hops = async |from, to| path(&held, from, to, false).await.path.map(|path| path.edges.len());
    assert_eq!((hops(0, 4).await, hops(1, 5).await), (Some(4), Some(4)));
    quick.batch_execute(&add_link(1, 5, 10)).await.unwrap();
    assert_eq!((hops(0, 4).await, hops(1, 5).await), (Some(4), Some(1)));
    slow.batch_execute("COMMIT").await.unwrap();
    assert_eq!((hops(0, 4).await, hops(1, 5).await), (Some(1), Some(1)));
    assert_eq!(held.graph_held(), Some(ITEMS + 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_away_while_removals_were_forgotten_reads_every_link_again() {
    let (db, held) = held_ring().await;
    let client = db.client().await;
    client.batch_execute(&format!("DELETE FROM knowledge WHERE id = '{}'", item(1))).await.unwrap();
    assert_eq!(held.link_changes_forget().await.unwrap(), 0, "somebody may not know yet");
    assert_eq!(held.link_changes_forget().await.unwrap(), 3, "the item and its two links");
    assert_eq!(seen(&held).await, stored(&db).await);

    // Who looked meanwhile knows.
    held.graph_hold().await.unwrap();
    client.batch_execute(&format!("DELETE FROM knowledge WHERE id = '{}'", item(5))).await.unwrap();
    held.link_changes_forget().await.unwrap();
    assert_eq!(around(&held, 5).await, None);
    assert_eq!(held.link_changes_forget().await.unwrap(), 3);
    assert_eq!(around(&held, 5).await, None);
    assert_eq!(held.graph_held(), Some(ITEMS - 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_very_many_changes_every_link_is_read_again() {
    let (db, held) = held_ring().await;
    let many = format!(
        "WITH leaf AS (
             INSERT INTO knowledge (content, content_hash) SELECT 'leaf', n::text::bytea FROM generate_series(1, 2001) AS n
             RETURNING id
         )
         INSERT INTO knowledge_links (source_id, target_id, kind) SELECT id, '{}', 'supports' FROM leaf",
        item(0)
    );
    db.client().await.batch_execute(&many).await.unwrap();
    let degree = async || around(&held, 0).await.unwrap().nodes[0].0.degree;
    assert_eq!(degree().await, 2_003);
    held.graph_hold().await.unwrap();
    assert_eq!((degree().await, held.graph_held()), (2_003, Some(2_001 + ITEMS)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_filled_again_with_what_it_once_held_is_read_again() {
    let (db, held) = held_ring().await;
    let client = db.client().await;
    client.batch_execute("CREATE TABLE kept AS SELECT * FROM knowledge_links").await.unwrap();
    client.batch_execute(&add_link(0, 4, 10)).await.unwrap();
    let hops = async || path(&held, 0, 4, false).await.path.map(|path| path.edges.len());
    assert_eq!(hops().await, Some(1));
    let refill = "BEGIN; TRUNCATE knowledge_links; INSERT INTO knowledge_links SELECT * FROM kept; COMMIT";
    client.batch_execute(refill).await.unwrap();
    assert_eq!(hops().await, Some(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_come_back_as_they_were_are_noticed_and_so_is_an_id_that_changed() {
    let (db, held) = held_ring().await;
    let client = db.client().await;
    let away = "CREATE TABLE kept AS SELECT * FROM knowledge_links; DELETE FROM knowledge_links";
    for change in [away, "INSERT INTO knowledge_links SELECT * FROM kept", "UPDATE knowledge_links SET id = uuid_v7()"]
    {
        client.batch_execute(change).await.unwrap();
        assert_eq!(seen(&held).await, stored(&db).await, "{change}");
    }
    assert_eq!(held.graph_held(), Some(ITEMS));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_to_what_is_in_the_bin_holds_once_it_is_restored() {
    let db = ring().await;
    let repository = repository(&db).await;
    let client = db.client().await;
    let to_the_bin = format!("UPDATE knowledge SET deleted_at = now() WHERE id = '{}'", item(4));
    let link = |from, to| {
        let (from, to) = (item(from), item(to));
        format!("INSERT INTO knowledge_links (source_id, target_id, kind) VALUES ('{from}', '{to}', 'answers')")
    };
    client.batch_execute(&format!("{to_the_bin}; {}; {}", link(0, 4), link(4, 7))).await.unwrap();
    let moved = format!("UPDATE knowledge_links SET target_id = '{}' WHERE source_id = '{}'", item(4), item(6));
    client.batch_execute(&moved).await.unwrap();
    let hops = async || path(&repository, 0, 7, false).await.path.map(|path| path.edges.len());
    let links = async || around(&repository, 4).await.map(|around| around.nodes[0].0.degree);
    assert_eq!((hops().await, links().await), (None, None));
    client.batch_execute("UPDATE knowledge SET deleted_at = NULL").await.unwrap();
    assert_eq!((hops().await, links().await), (Some(2), Some(5)));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_with_very_many_links_only_the_one_that_missed_some_is_where_to_go_on() {
    let db = ring().await;
    let repository = repository(&db).await;
    let leaves = format!(
        "WITH leaf AS (
             INSERT INTO knowledge (content, content_hash) SELECT 'leaf', n::text::bytea FROM generate_series(1, 250) AS n
             RETURNING id
         ), numbered AS (SELECT id, row_number() OVER () / 1000.0 AS step FROM leaf)
         INSERT INTO knowledge_links (source_id, target_id, kind, weight)
         SELECT '{}'::uuid, id, 'answers', 1 - step FROM numbered
         UNION ALL SELECT '{}'::uuid, id, 'answers', 0.5 + step FROM numbered",
        item(0),
        item(4)
    );
    db.client().await.batch_execute(&leaves).await.unwrap();
    let walk = Walk::new(&["answers".parse().unwrap()], Direction::Both, 0.0);
    let reach = Reach { depth: 3, limit: 1_000, degrees: false };
    for _ in ["asked of the table", "held"] {
        let around = repository.graph_around(item(0), &walk, reach).await.unwrap().unwrap();
        assert_eq!((around.nodes.len(), around.edges.len()), (252, 500));
        // The weakest leaves of the first were reached by a detour; of the other all are nearer than it is.
        assert_eq!((around.frontier, around.truncated), (vec![item(0)], true));
        repository.graph_hold().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_cannot_be_read_fails_no_walk_that_does_not_meet_it() {
    let (db, held) = held_ring().await;
    let of_a_newer_version = format!(
        "ALTER TABLE knowledge_links DROP CONSTRAINT knowledge_links_kind_check; {} {} {}
         INSERT INTO knowledge_links (source_id, target_id, kind) VALUES ('{}', '{}', 'foresees')",
        add_item(20),
        add_item(21),
        add_link(0, 4, 10),
        item(20),
        item(21)
    );
    db.client().await.batch_execute(&of_a_newer_version).await.unwrap();
    assert_eq!(path(&held, 0, 4, false).await.path.map(|path| path.edges.len()), Some(1));
}
