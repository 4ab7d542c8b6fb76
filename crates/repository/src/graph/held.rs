//! The links of the whole graph in this process, so that a walk asks the database only for what changed since the last.
//!
//! What a walk sees is exactly what the table held when the walk began, whoever wrote it: each link carries the
//! transaction that changed it last, and what happened since a snapshot is what that snapshot did not see: transactions
//! that began after it, and those that were under way.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Double, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use futures_util::TryStreamExt;
use kos_graph::{Adjacency, Edge};
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
/// After more changes than so many, all links are read again.
const CHANGES: i64 = 20_000;
/// How long nobody tries again to read links that could not be read …
const PAUSE: Duration = Duration::from_secs(60);
/// … or that were too many.
const PAUSE_OF_MANY: Duration = Duration::from_secs(600);

/// The links of the graph, once they were read. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeldLinks(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    held: RwLock<Option<Held>>,
    /// One at a time asks what changed; who waited may find the answer there.
    turn: Mutex<Turn>,
}

#[derive(Debug, Default)]
struct Turn {
    is_reading: bool,
    not_before: Option<Instant>,
}

#[derive(Debug)]
struct Held {
    links: Adjacency,
    known: Known,
}

/// Up to what the links are known.
#[derive(Clone, Debug)]
struct Known {
    /// The server that the snapshot is of: after a restart, or on another server, it means nothing.
    server: DateTime<Utc>,
    snapshot: String,
    /// When that was asked for.
    as_of: Instant,
}

#[derive(QueryableByName)]
struct SnapshotRow {
    #[diesel(sql_type = Timestamptz)]
    server: DateTime<Utc>,
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

const SNAPSHOT: &str = "SELECT pg_postmaster_start_time() AS server, pg_current_snapshot()::text AS snapshot";

const EVERY: &str = "
SELECT id, source_id, target_id, kind, weight FROM knowledge_links WHERE valid_to IS NULL AND gone_ends = 0 LIMIT $1";

/// What became of the links since a snapshot; one row at least.
const CHANGED: &str = "
SELECT h.forgotten <= pg_snapshot_xmin($1::pg_snapshot) AND pg_postmaster_start_time() = $2 AS is_known,
       pg_current_snapshot()::text AS snapshot, c.id, c.source_id, c.target_id, c.kind, c.weight
FROM link_horizon h LEFT JOIN link_changes($1::pg_snapshot, $3) c ON true";

impl HeldLinks {
    fn known(&self) -> Option<Known> {
        self.0.held.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(|held| held.known.clone())
    }

    fn hold(&self, held: Option<Held>) {
        let links = held.as_ref().map_or(0, |held| held.links.len());
        metrics::gauge!("kos_graph_links_held").set(f64::from(u32::try_from(links).unwrap_or(u32::MAX)));
        *self.0.held.write().unwrap_or_else(PoisonError::into_inner) = held;
    }

    /// Takes over what changed; false when too much did, or nobody knows any more.
    fn take(&self, rows: Vec<ChangeRow>, as_of: Instant) -> Result<bool> {
        let Some(first) = rows.as_slice().first() else { return Ok(false) };
        let is_all = rows.len() < usize::try_from(CHANGES).unwrap_or(usize::MAX);
        if !first.is_known || !is_all {
            return Ok(false);
        }
        let snapshot = first.snapshot.clone();
        let mut changes = rows.into_iter().filter_map(ChangeRow::read).collect::<Result<Vec<_>>>()?;
        // What is gone first: a link that came back is in both lists.
        changes.sort_by_key(|change| matches!(change, Change::Is(_)));
        let mut held = self.0.held.write().unwrap_or_else(PoisonError::into_inner);
        let Some(held) = held.as_mut() else { return Ok(false) };
        for change in changes {
            match change {
                Change::Is(edge) => held.links.insert(&edge),
                Change::IsGone(id, source, target) => held.links.remove(id, source, target),
            }
        }
        held.known.snapshot = snapshot;
        held.known.as_of = as_of;
        metrics::gauge!("kos_graph_links_held").set(f64::from(u32::try_from(held.links.len()).unwrap_or(u32::MAX)));
        Ok(held.links.len() <= MOST)
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
    /// Walks over the links of the graph as they are now, where they are held in this process; else they are read for
    /// those who come later. A walk may take a while: it holds up no other work.
    pub(super) async fn walk_held<T: Send + 'static>(
        &self,
        reader: &AsyncPgConnection,
        walk: impl FnOnce(&Adjacency) -> T + Send + 'static,
    ) -> Result<Option<T>> {
        if !self.links_catch_up(reader).await? {
            return Ok(None);
        }
        let links = self.links.clone();
        let walked = tokio::task::spawn_blocking(move || {
            let held = links.0.held.read().unwrap_or_else(PoisonError::into_inner);
            held.as_ref().map(|held| walk(&held.links))
        });
        // None too when the walk panicked, or everything ends.
        Ok(walked.await.ok().flatten())
    }

    /// Takes over what happened to the links until now; false when they are not held.
    async fn links_catch_up(&self, reader: &AsyncPgConnection) -> Result<bool> {
        let asked_at = Instant::now();
        let mut turn = self.links.0.turn.lock().await;
        let Some(known) = self.links.known() else {
            self.links_read_behind(&mut turn);
            return Ok(false);
        };
        if known.as_of >= asked_at {
            return Ok(true);
        }
        let as_of = Instant::now();
        let rows: Vec<ChangeRow> = statement(CHANGED)
            .bind::<Text, _>(&known.snapshot)
            .bind::<Timestamptz, _>(known.server)
            .bind::<BigInt, _>(CHANGES)
            .get_results(&mut &*reader)
            .await?;
        let is_held = self.links.take(rows, as_of)?;
        if !is_held {
            self.links.hold(None);
            self.links_read_behind(&mut turn);
        }
        Ok(is_held)
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
                Ok(true) => Duration::ZERO,
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
        let Some(held) = self.links_read().await? else {
            tracing::debug!(most = MOST, "the graph has more links than are held");
            return Ok(false);
        };
        tracing::debug!(links = held.links.len(), took = ?since.elapsed(), "the graph's links are held");
        // Nobody takes over changes meanwhile.
        let _turn = self.links.0.turn.lock().await;
        if self.links.known().is_none_or(|known| known.as_of <= held.known.as_of) {
            self.links.hold(Some(held));
        }
        Ok(true)
    }

    /// How many links are held in this process; none before they were read.
    #[must_use]
    pub fn graph_held(&self) -> Option<usize> {
        self.links.0.held.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(|held| held.links.len())
    }

    /// Every link; none when there are too many.
    async fn links_read(&self) -> Result<Option<Held>> {
        let as_of = Instant::now();
        let mut connection = self.connection().await?;
        let mut snapshot = connection.build_transaction().read_only().repeatable_read();
        let (SnapshotRow { server, snapshot }, edges) = snapshot
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
        Ok(links.ok().map(|links| Held { links, known: Known { server, snapshot, as_of } }))
    }

    /// Forgets links that were removed long ago; who does not know of it reads all links again.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn link_removals_forget(&self) -> Result<u64> {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = BigInt)]
            forgotten: i64,
        }
        let mut connection = self.connection().await?;
        let row: Row = sql_query("SELECT link_removals_forget() AS forgotten").get_result(&mut connection).await?;
        Ok(u64::try_from(row.forgotten).unwrap_or_default())
    }
}
