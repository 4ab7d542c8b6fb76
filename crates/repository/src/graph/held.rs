//! The links of the whole graph in this process, and what people see of its nodes, so that a walk asks the database only
//! for what changed since the last.
//!
//! What a walk sees is exactly what the tables held when the walk began, whoever wrote it, as long as triggers are not
//! switched off: each change carries its transaction, and what happened since a snapshot is what that snapshot did not
//! see: transactions that began after it, and those that were under way.

use std::sync::{Arc, Mutex as SyncMutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use futures_util::TryStreamExt;
use futures_util::future::join;
use kos_graph::{Adjacency, Edge, Node};
use kos_model::KnowledgeId;
use tokio::sync::Mutex;

use super::changes::{self, Change, Changes, Relabelled};
use super::labels::Labels;
use super::nodes::nodes_of;
use super::signed;
use super::tables::EdgeRow;
use crate::database::Repository;
use crate::error::{Chain, Result};

/// So many links are held at the most, some 70 MB; of more, a walk asks the table for those that it needs.
const MOST: usize = 1_000_000;
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
    /// Who has both has the links first.
    labels: RwLock<Versioned>,
    known: SyncMutex<Option<Known>>,
    /// One at a time asks what changed; who waited may find the answer there.
    turn: Mutex<Turn>,
}

/// The labels of the nodes, as far as they are known.
#[derive(Debug, Default)]
struct Versioned {
    version: Version,
    labels: Labels,
}

/// How often what is held changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Version {
    links: u64,
    labels: u64,
}

/// What a walk came to over what was held at a version.
struct Walked<T> {
    version: Version,
    found: T,
    /// Its nodes, as far as their labels are known.
    nodes: Vec<(KnowledgeId, Option<Node>)>,
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

const SNAPSHOT: &str = "SELECT link_origin() AS origin, pg_current_snapshot()::text AS snapshot";

/// A database that was restored elsewhere has numbers that are still to come there.
const HORIZON: &str = "
UPDATE link_horizon SET
    forgotten = pg_snapshot_xmin(pg_current_snapshot()), next = least(next, pg_snapshot_xmin(pg_current_snapshot()))
WHERE forgotten > pg_snapshot_xmin(pg_current_snapshot())";

const EVERY: &str = "
SELECT id, source_id, target_id, kind, weight FROM knowledge_links WHERE valid_to IS NULL AND gone_ends = 0 LIMIT $1";

impl HeldLinks {
    fn known(&self) -> Option<Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn know(&self, known: Option<Known>) {
        *self.0.known.lock().unwrap_or_else(PoisonError::into_inner) = known;
    }

    fn version(&self) -> Version {
        self.0.labels.read().unwrap_or_else(PoisonError::into_inner).version
    }

    /// Walks over the links as they are known. A walk may take a while: it is done apart from the work of others. None
    /// where they are not held, when the walk panicked, or everything ends.
    async fn walk<T: Send + 'static>(
        &self,
        walk: impl FnOnce(&Adjacency) -> T + Send + 'static,
        nodes: fn(&T) -> Vec<KnowledgeId>,
    ) -> Option<Walked<T>> {
        let held = self.clone();
        let walked = tokio::task::spawn_blocking(move || {
            let links = held.0.links.read().unwrap_or_else(PoisonError::into_inner);
            let of_links = held.version().links;
            let found = walk(links.as_ref()?);
            drop(links);
            let (version, nodes) = held.known_of(nodes(&found));
            Some(Walked { version: Version { links: of_links, ..version }, found, nodes })
        });
        walked.await.ok().flatten()
    }

    /// Nodes, as far as their labels are known, and as of when they are.
    fn known_of(&self, ids: Vec<KnowledgeId>) -> (Version, Vec<(KnowledgeId, Option<Node>)>) {
        let seen = self.0.labels.read().unwrap_or_else(PoisonError::into_inner);
        (seen.version, ids.into_iter().map(|id| (id, seen.labels.node(id))).collect())
    }

    /// The same walk with the labels as they are.
    fn labelled_anew<T>(&self, walked: Walked<T>) -> Walked<T> {
        let (version, nodes) = self.known_of(walked.nodes.into_iter().map(|(id, _)| id).collect());
        Walked { version, nodes, found: walked.found }
    }

    /// What was found, with the nodes that were read for it. Their labels are kept: unless some changed since, perhaps
    /// these.
    fn complete<T>(&self, walked: Walked<T>, read: Vec<Node>) -> (T, Vec<Node>) {
        if !read.is_empty() {
            let mut seen = self.0.labels.write().unwrap_or_else(PoisonError::into_inner);
            if seen.version == walked.version {
                seen.labels.keep(&read);
            }
        }
        walked.with(read)
    }

    /// How many links are held.
    fn count(&self) -> Option<usize> {
        self.0.links.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(Adjacency::len)
    }

    fn hold(&self, held: Option<(Adjacency, Labels)>) {
        let (new, labels) = held.unzip();
        let mut links = self.0.links.write().unwrap_or_else(PoisonError::into_inner);
        let mut seen = self.0.labels.write().unwrap_or_else(PoisonError::into_inner);
        let version = Version { links: seen.version.links + 1, labels: seen.version.labels + 1 };
        let next = Versioned { version, labels: labels.unwrap_or_default() };
        let before = (std::mem::replace(&mut *links, new), std::mem::replace(&mut *seen, next));
        drop((links, seen));
        drop(before);
        self.report();
    }

    /// Changes the links and labels of this version; those that were read since know of it.
    fn apply(&self, changes: Changes, version: Version) {
        let mut held = self.0.links.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(links) = held.as_mut().filter(|_| self.version() == version) {
            for change in changes.links {
                match change {
                    Change::Is(edge) => links.insert(&edge),
                    Change::IsGone(id, source, target) => links.remove(id, source, target),
                }
            }
            self.relabel(&changes.labels, version, 1);
        }
        drop(held);
        self.report();
    }

    /// Changes the labels of this version, and says that the links changed so often.
    fn relabel(&self, relabelled: &Relabelled, version: Version, links: u64) {
        let mut seen = self.0.labels.write().unwrap_or_else(PoisonError::into_inner);
        if seen.version != version {
            return;
        }
        seen.version.links += links;
        match relabelled {
            Relabelled::Some(items) if items.is_empty() => {}
            Relabelled::Some(items) => {
                seen.version.labels += 1;
                items.iter().for_each(|item| seen.labels.forget(*item));
            }
            Relabelled::All => {
                seen.version.labels += 1;
                seen.labels = Labels::default();
            }
        }
    }

    fn report(&self) {
        let links = self.count().unwrap_or_default();
        metrics::gauge!("kos_graph_links_held").set(f64::from(u32::try_from(links).unwrap_or(u32::MAX)));
    }

    /// Takes over what changed; false when there are too many links then.
    async fn take(&self, known: Known, changes: Changes) -> Result<bool> {
        let (version, snapshot) = (self.version(), changes.snapshot.clone());
        if !changes.links.is_empty() {
            let links = self.clone();
            // Whoever is cut off here leaves links of which nobody knows how far they have come: they are read again.
            self.know(None);
            if tokio::task::spawn_blocking(move || links.apply(changes, version)).await.is_err() {
                return Ok(false);
            }
        } else {
            self.relabel(&changes.labels, version, 0);
        }
        self.know(Some(Known { snapshot, ..known }));
        Ok(self.count().is_some_and(|links| links <= MOST))
    }
}

impl<T> Walked<T> {
    /// The nodes whose labels are not known.
    fn strange(&self) -> Vec<KnowledgeId> {
        self.nodes.iter().filter(|(_, node)| node.is_none()).map(|(id, _)| *id).collect()
    }

    /// What was found, and its nodes with those that were read in the order in which they were asked for; what is not
    /// there is left out.
    fn with(self, read: Vec<Node>) -> (T, Vec<Node>) {
        let mut read = read.into_iter().peekable();
        let node = |(id, node): (KnowledgeId, Option<Node>)| node.or_else(|| read.next_if(|read| read.id == id));
        (self.found, self.nodes.into_iter().filter_map(node).collect())
    }
}

impl Repository {
    /// Walks over the links of the graph as they are now, where they are held in this process, and says what people see of
    /// the nodes that it came to; else the links are read for those who come later.
    pub(super) async fn walk_held<T: Send + 'static>(
        &self,
        reader: &AsyncPgConnection,
        walk: impl FnOnce(&Adjacency) -> T + Clone + Send + 'static,
        nodes: fn(&T) -> Vec<KnowledgeId>,
    ) -> Result<Option<(T, Vec<Node>)>> {
        // Mostly nothing has changed since the last walk: whether that is so is asked when it is over, together with the
        // labels that are not known.
        let mut known = None;
        if let Some(walked) = self.links.walk(walk.clone(), nodes).await {
            let strange = walked.strange();
            let (is_held, read) = join(self.links_catch_up(reader), nodes_of(reader, None, &strange)).await;
            if !is_held {
                return Ok(None);
            }
            let now = self.links.version();
            if now == walked.version {
                return Ok(Some(self.links.complete(walked, read?)));
            }
            // Other labels are no reason to walk again.
            known = (now.links == walked.version.links).then(|| self.links.labelled_anew(walked));
        } else if !self.links_catch_up(reader).await {
            return Ok(None);
        }
        let walked = match known {
            Some(walked) => walked,
            None => match self.links.walk(walk, nodes).await {
                Some(walked) => walked,
                None => return Ok(None),
            },
        };
        let read = nodes_of(reader, None, &walked.strange()).await?;
        Ok(Some(self.links.complete(walked, read)))
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
        let Some(changes) = changes::since(reader, &known.origin, &known.snapshot).await? else { return Ok(false) };
        self.links.take(Known { as_of, ..known }, changes).await
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
    /// The database is unavailable, or a statement took longer than a minute.
    pub async fn graph_hold(&self) -> Result<bool> {
        let since = Instant::now();
        let Some((links, labels, known)) = self.links_read().await? else {
            tracing::debug!(most = MOST, "the graph has more links than are held");
            return Ok(false);
        };
        tracing::debug!(links = links.len(), took = ?since.elapsed(), "the graph's links are held");
        // Nobody takes over changes meanwhile.
        let _turn = self.links.0.turn.lock().await;
        if self.links.known().is_none_or(|newer| newer.as_of <= known.as_of) {
            self.links.hold(Some((links, labels)));
            self.links.know(Some(known));
        }
        Ok(true)
    }

    /// How many links are held in this process; none before they were read.
    #[must_use]
    pub fn graph_held(&self) -> Option<usize> {
        self.links.count()
    }

    /// Every link, and the labels of what is linked; none when there are too many.
    async fn links_read(&self) -> Result<Option<(Adjacency, Labels, Known)>> {
        let as_of = Instant::now();
        let mut connection = self.connection().await?;
        sql_query(HORIZON).execute(&mut connection).await?;
        let mut snapshot = connection.build_transaction().read_only().repeatable_read();
        snapshot
            .run(async |tx| {
                // Nobody waits for it.
                tx.batch_execute("SET LOCAL statement_timeout = '60s'").await?;
                let SnapshotRow { origin, snapshot } = sql_query(SNAPSHOT).get_result(tx).await?;
                let Some(links) = adjacency(tx).await? else { return Ok(None) };
                let labels = Labels::read(tx, links.nodes()).await?;
                Ok(Some((links, labels, Known { origin, snapshot, as_of })))
            })
            .await
    }

    /// Forgets links that were removed long ago, and labels that changed; who does not know of it reads all links again.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn link_changes_forget(&self) -> Result<usize> {
        changes::forget(&mut *self.connection().await?).await
    }
}

/// Every link; none when there are too many.
async fn adjacency(tx: &mut AsyncPgConnection) -> Result<Option<Adjacency>> {
    let rows = sql_query(EVERY).bind::<BigInt, _>(signed(MOST + 1)).load_stream::<EdgeRow>(tx).await?;
    let edges: Vec<Result<Edge>> = rows.map_ok(EdgeRow::read).try_collect().await?;
    let edges = edges.into_iter().collect::<Result<Vec<Edge>>>()?;
    if edges.len() > MOST {
        return Ok(None);
    }
    Ok(tokio::task::spawn_blocking(move || Adjacency::of(edges)).await.ok())
}
