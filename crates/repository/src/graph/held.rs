//! The links of the whole graph in this process, so that a walk asks the database only for what changed since the last.
//!
//! What a walk sees is exactly what the table held when the walk began, whoever wrote it, as long as triggers are not
//! switched off: each link carries the transaction that changed it last, and what happened since a snapshot is what that
//! snapshot did not see: transactions that began after it, and those that were under way.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex as SyncMutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Double, Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use futures_util::TryStreamExt;
use futures_util::future::join;
use kos_graph::{Adjacency, Edge, Node};
use kos_model::{KnowledgeId, LinkId};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::signed;
use super::tables::EdgeRow;
use crate::database::Repository;
use crate::error::{Chain, Result};
use crate::link::kind_of;
use crate::statement::{Bind as _, statement};

/// So many links are held at the most, some 70 MB; of more, a walk asks the table for those that it needs.
const MOST: usize = 1_000_000;
/// After so many changes all links are read again: each may take as long as to copy the links of a hub.
const CHANGES: i64 = 2_000;
/// Links that are forgotten in one statement.
const FORGOTTEN_AT_ONCE: i64 = 20_000;
/// How long nobody reads the links again after they were read …
const REST: Duration = Duration::from_secs(1);
/// … or tries again to read links that could not be read …
const PAUSE: Duration = Duration::from_secs(60);
/// … or that were too many.
const PAUSE_OF_MANY: Duration = Duration::from_secs(600);

/// The links of the graph, once they were read. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeldLinks(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Written only by who has the turn, and only when something changed: walks do not wait for each other.
    links: RwLock<Option<Adjacency>>,
    /// How often they changed.
    version: AtomicU64,
    known: SyncMutex<Option<Known>>,
    /// One at a time asks what changed; who waited may find the answer there.
    turn: Mutex<Turn>,
}

#[derive(Debug, Default)]
struct Turn {
    is_reading: bool,
    not_before: Option<Instant>,
}

/// Up to what the links are known.
#[derive(Clone, Debug)]
struct Known {
    /// What the snapshot is of: it means nothing elsewhere.
    origin: String,
    snapshot: String,
    /// When that was asked for.
    as_of: Instant,
}

#[derive(QueryableByName)]
struct SnapshotRow {
    #[diesel(sql_type = Text)]
    origin: String,
    #[diesel(sql_type = Text)]
    snapshot: String,
}

#[derive(QueryableByName)]
struct ChangeRow {
    #[diesel(sql_type = Bool)]
    is_known: bool,
    #[diesel(sql_type = Text)]
    snapshot: String,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    id: Option<Uuid>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    source_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    target_id: Option<Uuid>,
    /// None when the link is gone.
    #[diesel(sql_type = Nullable<Text>)]
    kind: Option<String>,
    #[diesel(sql_type = Nullable<Double>)]
    weight: Option<f64>,
}

const SNAPSHOT: &str = "SELECT link_origin() AS origin, pg_current_snapshot()::text AS snapshot";

/// A database that was restored elsewhere has numbers that are still to come there.
const HORIZON: &str = "
UPDATE link_horizon SET
    forgotten = pg_snapshot_xmin(pg_current_snapshot()), next = least(next, pg_snapshot_xmin(pg_current_snapshot()))
WHERE forgotten > pg_snapshot_xmin(pg_current_snapshot())";

const FORGET: &str = "
DELETE FROM link_removals WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM link_removals WHERE changed_in < (SELECT forgotten FROM link_horizon) LIMIT $1
))";

const EVERY: &str = "
SELECT id, source_id, target_id, kind, weight FROM knowledge_links WHERE valid_to IS NULL AND gone_ends = 0 LIMIT $1";

/// What became of the links since a snapshot; one row at least.
const CHANGED: &str = "
SELECT h.forgotten <= pg_snapshot_xmin($1::pg_snapshot) AND link_origin() = $2 AS is_known,
       pg_current_snapshot()::text AS snapshot, c.id, c.source_id, c.target_id, c.kind, c.weight
FROM link_horizon h LEFT JOIN link_changes($1::pg_snapshot, $3) c ON true";

impl HeldLinks {
    fn known(&self) -> Option<Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn know(&self, known: Option<Known>) {
        *self.0.known.lock().unwrap_or_else(PoisonError::into_inner) = known;
    }

    /// Of the links as they are; it does not change while they are read.
    fn version(&self) -> u64 {
        AtomicU64::load(&self.0.version, Ordering::Relaxed)
    }

    /// Walks over the links as they are known, and says of which version they are. A walk may take a while: it is done
    /// apart from the work of others. None where they are not held, when the walk panicked, or everything ends.
    async fn walk<T: Send + 'static>(&self, walk: impl FnOnce(&Adjacency) -> T + Send + 'static) -> Option<(u64, T)> {
        let links = self.clone();
        let walked = tokio::task::spawn_blocking(move || {
            let held = links.0.links.read().unwrap_or_else(PoisonError::into_inner);
            Some((links.version(), walk(held.as_ref()?)))
        });
        walked.await.ok().flatten()
    }

    /// How many links are held.
    fn count(&self) -> Option<usize> {
        self.0.links.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(Adjacency::len)
    }

    fn hold(&self, links: Option<Adjacency>) {
        let before = {
            let mut held = self.0.links.write().unwrap_or_else(PoisonError::into_inner);
            self.0.version.fetch_add(1, Ordering::Relaxed);
            std::mem::replace(&mut *held, links)
        };
        drop(before);
        self.report();
    }

    /// Changes the links of this version; those that were read since know of it.
    fn apply(&self, changes: Vec<Change>, version: u64) {
        let mut held = self.0.links.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(links) = held.as_mut().filter(|_| self.version() == version) {
            self.0.version.fetch_add(1, Ordering::Relaxed);
            for change in changes {
                match change {
                    Change::Is(edge) => links.insert(&edge),
                    Change::IsGone(id, source, target) => links.remove(id, source, target),
                }
            }
        }
        drop(held);
        self.report();
    }

    fn report(&self) {
        let links = self.count().unwrap_or_default();
        metrics::gauge!("kos_graph_links_held").set(f64::from(u32::try_from(links).unwrap_or(u32::MAX)));
    }

    /// Takes over what changed; false when too much did, or nobody knows any more.
    async fn take(&self, known: Known, rows: Vec<ChangeRow>) -> Result<bool> {
        let Some(first) = rows.as_slice().first() else { return Ok(false) };
        let is_all = rows.len() < usize::try_from(CHANGES).unwrap_or(usize::MAX);
        if !first.is_known || !is_all {
            return Ok(false);
        }
        let snapshot = first.snapshot.clone();
        let mut changes = rows.into_iter().filter_map(ChangeRow::read).collect::<Result<Vec<_>>>()?;
        if !changes.is_empty() {
            // What is gone first: a link that came back is in both lists.
            changes.sort_by_key(|change| matches!(change, Change::Is(_)));
            let (links, version) = (self.clone(), self.version());
            // Whoever is cut off here leaves links of which nobody knows how far they have come: they are read again.
            self.know(None);
            if tokio::task::spawn_blocking(move || links.apply(changes, version)).await.is_err() {
                return Ok(false);
            }
        }
        self.know(Some(Known { snapshot, ..known }));
        Ok(self.count().is_some_and(|links| links <= MOST))
    }
}

/// What became of a link.
enum Change {
    Is(Edge),
    IsGone(LinkId, KnowledgeId, KnowledgeId),
}

impl ChangeRow {
    fn read(self) -> Option<Result<Change>> {
        let (id, source, target) = (self.id?, KnowledgeId(self.source_id?), KnowledgeId(self.target_id?));
        let Some(kind) = self.kind else { return Some(Ok(Change::IsGone(LinkId(id), source, target))) };
        let edge =
            |kind| Change::Is(Edge { id: LinkId(id), source, target, kind, weight: self.weight.unwrap_or_default() });
        Some(kind_of(id, &kind).map(edge))
    }
}

impl Repository {
    /// Walks over the links of the graph as they are now, where they are held in this process, and says what people see of
    /// the nodes that it came to; else the links are read for those who come later.
    pub(super) async fn walk_held<T: Send + 'static>(
        &self,
        reader: &AsyncPgConnection,
        walk: impl FnOnce(&Adjacency) -> T + Clone + Send + 'static,
        nodes: impl Fn(&T) -> Vec<KnowledgeId>,
    ) -> Result<Option<(T, Vec<Node>)>> {
        // Mostly nothing has changed since the last walk: whether that is so is asked together with what people see.
        if let Some((version, walked)) = self.links.walk(walk.clone()).await {
            let ids = nodes(&walked);
            let (is_held, seen) = join(self.links_catch_up(reader), self.places.nodes_of(reader, &ids)).await;
            if !is_held {
                return Ok(None);
            }
            if self.links.version() == version {
                return Ok(Some((walked, seen?)));
            }
        } else if !self.links_catch_up(reader).await {
            return Ok(None);
        }
        let Some((_, walked)) = self.links.walk(walk).await else { return Ok(None) };
        let seen = self.places.nodes_of(reader, &nodes(&walked)).await?;
        Ok(Some((walked, seen)))
    }

    /// Takes over what happened to the links until now; false when they are not held.
    async fn links_catch_up(&self, reader: &AsyncPgConnection) -> bool {
        let asked_at = Instant::now();
        let mut turn = self.links.0.turn.lock().await;
        let Some(known) = self.links.known() else {
            self.links_read_behind(&mut turn);
            return false;
        };
        if known.as_of >= asked_at {
            return true;
        }
        let is_held = self.links_take_over(reader, known).await.unwrap_or_else(|error| {
            tracing::debug!(error = %Chain(&error), "what became of the graph's links is not known");
            false
        });
        if !is_held {
            self.links.know(None);
            self.links.hold(None);
            self.links_read_behind(&mut turn);
        }
        is_held
    }

    async fn links_take_over(&self, reader: &AsyncPgConnection, known: Known) -> Result<bool> {
        let as_of = Instant::now();
        let rows: Vec<ChangeRow> = statement(CHANGED)
            .bind::<Text, _>(&known.snapshot)
            .bind::<Text, _>(&known.origin)
            .bind::<BigInt, _>(CHANGES)
            .get_results(&mut &*reader)
            .await?;
        self.links.take(Known { as_of, ..known }, rows).await
    }

    /// Has all links read, unless somebody does.
    fn links_read_behind(&self, turn: &mut Turn) {
        if turn.is_reading || turn.not_before.is_some_and(|time| time > Instant::now()) {
            return;
        }
        turn.is_reading = true;
        let repository = self.clone();
        tokio::spawn(async move {
            let pause = match repository.graph_hold().await {
                Ok(true) => REST,
                Ok(false) => PAUSE_OF_MANY,
                Err(error) => {
                    tracing::debug!(error = %Chain(&error), "the graph's links were not read");
                    PAUSE
                }
            };
            *repository.links.0.turn.lock().await =
                Turn { is_reading: false, not_before: Some(Instant::now() + pause) };
        });
    }

    /// Reads every link, so that walks need not ask for them: what the first walk has done behind it. False when there
    /// are too many to be held.
    ///
    /// # Errors
    /// The database is unavailable, or reading took longer than a minute.
    pub async fn graph_hold(&self) -> Result<bool> {
        let since = Instant::now();
        let Some((links, known)) = self.links_read().await? else {
            tracing::debug!(most = MOST, "the graph has more links than are held");
            return Ok(false);
        };
        tracing::debug!(links = links.len(), took = ?since.elapsed(), "the graph's links are held");
        // Nobody takes over changes meanwhile.
        let _turn = self.links.0.turn.lock().await;
        if self.links.known().is_none_or(|newer| newer.as_of <= known.as_of) {
            self.links.hold(Some(links));
            self.links.know(Some(known));
        }
        Ok(true)
    }

    /// How many links are held in this process; none before they were read.
    #[must_use]
    pub fn graph_held(&self) -> Option<usize> {
        self.links.count()
    }

    /// Every link; none when there are too many.
    async fn links_read(&self) -> Result<Option<(Adjacency, Known)>> {
        let as_of = Instant::now();
        let mut connection = self.connection().await?;
        sql_query(HORIZON).execute(&mut connection).await?;
        let mut snapshot = connection.build_transaction().read_only().repeatable_read();
        let (SnapshotRow { origin, snapshot }, edges) = snapshot
            .run(async |tx| {
                // Nobody waits for it.
                tx.batch_execute("SET LOCAL statement_timeout = '60s'").await?;
                let snapshot: SnapshotRow = sql_query(SNAPSHOT).get_result(tx).await?;
                let rows = sql_query(EVERY).bind::<BigInt, _>(signed(MOST + 1)).load_stream::<EdgeRow>(tx).await?;
                let edges: Vec<Result<Edge>> = rows.map_ok(EdgeRow::read).try_collect().await?;
                Ok::<_, crate::Error>((snapshot, edges.into_iter().collect::<Result<Vec<Edge>>>()?))
            })
            .await?;
        if edges.len() > MOST {
            return Ok(None);
        }
        let links = tokio::task::spawn_blocking(move || Adjacency::of(edges)).await;
        Ok(links.ok().map(|links| (links, Known { origin, snapshot, as_of })))
    }

    /// Forgets links that were removed long ago; who does not know of it reads all links again.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn link_removals_forget(&self) -> Result<usize> {
        let mut connection = self.connection().await?;
        sql_query("SELECT link_horizon_move()").execute(&mut connection).await?;
        let mut forgotten = 0;
        loop {
            let some = sql_query(FORGET).bind::<BigInt, _>(FORGOTTEN_AT_ONCE).execute(&mut connection).await?;
            forgotten += some;
            if some == 0 {
                return Ok(forgotten);
            }
        }
    }
}
