//! Links between pieces of knowledge: made, listed, changed and removed with the events that tell of it.

mod export;
mod import;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Double, Integer, Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use kos_graph::{Hops, Node, Search, Walk};
use kos_model::event::Known;
use kos_model::link::{LinkChange, NewLink};
use kos_model::{KnowledgeId, LinkId, LinkKind, LinkOrigin};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::database::Repository;
use crate::error::{Error, Result};
use crate::event::{Emitted, LeaseTerms, NewEvent};
use crate::graph::{LabelRow, missing_of, search_in_tx};
use crate::schema::knowledge_links;
use crate::statement::{Bind as _, statement};

/// How often a link that others make and remove meanwhile is tried.
const TRIES: usize = 5;
/// Events that are stored in one statement.
const EVENTS_AT_ONCE: usize = 100;
/// With a kind's number: held by whoever makes a link of a kind that must not run in a circle.
const CYCLE_LOCK: i32 = 0x6b6f_6c6b;

/// A link as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkRecord {
    /// Its id.
    pub id: LinkId,
    /// Where it begins.
    pub source_id: KnowledgeId,
    /// Where it leads.
    pub target_id: KnowledgeId,
    /// Its kind, read from the source to the target.
    pub kind: LinkKind,
    /// How strong it is, 0 to 1.
    pub weight: f64,
    /// Why it is there.
    pub note: Option<String>,
    /// Who made it.
    pub origin: LinkOrigin,
    /// Anything else that was said of it.
    pub metadata: Map<String, Value>,
    /// Counts its changes, from 1.
    pub version: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Until when it held; none while it does.
    pub valid_to: Option<DateTime<Utc>>,
}

/// A link, seen from one of its ends.
#[derive(Clone, Debug, PartialEq)]
pub struct SeenLink {
    /// The link.
    pub link: LinkRecord,
    /// Its other end; the degree is not counted here.
    pub other: Node,
}

/// What became of a link that was to be made.
#[derive(Clone, Debug, PartialEq)]
pub enum LinkFate {
    /// It is new.
    Created(LinkRecord),
    /// It was there, and took what was said anew.
    Updated(LinkRecord),
    /// It was there, and said the same.
    Present(LinkRecord),
    /// These ends do not exist.
    Dangling(Vec<KnowledgeId>),
    /// It would close this circle: it leads from its source over the others back to where it began.
    Cyclic(Vec<KnowledgeId>),
}

/// A link as somebody wanted it.
#[derive(Clone, Debug, PartialEq)]
pub struct PutLink {
    /// As it is stored.
    pub record: LinkRecord,
    /// Whether there was none before.
    pub is_new: bool,
}

/// Which links of an item are listed.
#[derive(Clone, Debug)]
pub struct LinkFilter {
    /// Of which kinds, in which direction, how strong.
    pub walk: Walk,
    /// Those too that hold no longer.
    pub history: bool,
}

#[derive(Queryable, QueryableByName, Selectable)]
#[diesel(table_name = knowledge_links, check_for_backend(diesel::pg::Pg))]
struct LinkRow {
    id: Uuid,
    source_id: Uuid,
    target_id: Uuid,
    kind: String,
    weight: f64,
    note: Option<String>,
    origin: String,
    metadata: Value,
    version: i32,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    valid_to: Option<DateTime<Utc>>,
}

#[derive(QueryableByName)]
struct SeenRow {
    #[diesel(embed)]
    link: LinkRow,
    #[diesel(sql_type = SqlUuid)]
    other_id: Uuid,
    #[diesel(sql_type = Nullable<Text>)]
    title: Option<String>,
    #[diesel(sql_type = Text)]
    start: String,
    #[diesel(sql_type = Nullable<Text>)]
    domain: Option<String>,
}

const SEEN: &str = "
WITH seen AS (
    (SELECT l.*, l.target_id AS other_id FROM knowledge_links l
     WHERE l.source_id = $1 AND l.kind = ANY($2) AND l.weight >= $4 AND (l.valid_to IS NULL OR $5)
       AND ($6 IS NULL OR l.id < $6) AND l.gone_ends = 0
     ORDER BY l.id DESC LIMIT $7)
    UNION ALL
    (SELECT l.*, l.source_id AS other_id FROM knowledge_links l
     WHERE l.target_id = $1 AND l.kind = ANY($3) AND l.weight >= $4 AND (l.valid_to IS NULL OR $5)
       AND ($6 IS NULL OR l.id < $6) AND l.gone_ends = 0
     ORDER BY l.id DESC LIMIT $7)
)
SELECT s.*, k.title, left(k.content, 200) AS start, d.name AS domain
FROM seen s JOIN knowledge k ON k.id = s.other_id LEFT JOIN domains d ON d.id = k.domain_id
ORDER BY s.id DESC LIMIT $7";

/// A live link between two items that are there.
const LIVE: &str = "SELECT l.* FROM knowledge_links l WHERE l.id = $1 AND l.valid_to IS NULL AND l.gone_ends = 0";

/// What people see of items.
const LABELS: &str = "
SELECT k.id, k.title, left(k.content, 200) AS start FROM knowledge k WHERE k.id = ANY($1) AND k.deleted_at IS NULL";

/// Held against being deleted, in the order of their ids, so that no two writers wait for each other. No more than that:
/// a hub would have no quiet moment in which to be changed.
const ENDS: &str = "
SELECT k.id, k.title, left(k.content, 200) AS start FROM knowledge k
WHERE k.id = ANY($1) AND k.deleted_at IS NULL ORDER BY k.id FOR KEY SHARE";

impl Repository {
    /// Makes links in one transaction, with the events that tell of them; one that is there already takes what
    /// was said anew. Each has a fate of its own, in the order in which they came.
    ///
    /// # Errors
    /// The database is unavailable or refuses; then nothing is stored.
    pub async fn link_create_all(
        &self,
        links: &[NewLink],
        terms: &LeaseTerms,
    ) -> Result<(Vec<LinkFate>, Vec<Emitted>)> {
        let mut connection = self.connection().await?;
        connection.transaction(async |tx| self.link_create_all_in_tx(tx, links, terms).await).await
    }

    pub(crate) async fn link_create_all_in_tx(
        &self,
        tx: &mut AsyncPgConnection,
        links: &[NewLink],
        terms: &LeaseTerms,
    ) -> Result<(Vec<LinkFate>, Vec<Emitted>)> {
        let ends = ends_in_tx(tx, links).await?;
        let acyclic: BTreeSet<LinkKind> = links.iter().map(NewLink::kind).filter(|kind| kind.is_acyclic()).collect();
        for kind in acyclic {
            cycle_lock_in_tx(tx, kind).await?;
        }
        let (mut fates, mut events) = (BTreeMap::new(), Vec::new());
        for (place, link) in ordered(links) {
            let fate = link_put_in_tx(tx, link, &ends).await?;
            events.extend(event_of(&fate, &ends));
            fates.insert(place, fate);
        }
        let mut emitted = Vec::new();
        while !events.is_empty() {
            let later = events.split_off(events.len().min(EVENTS_AT_ONCE));
            emitted.extend(self.event_emit_all_in_tx(tx, std::mem::replace(&mut events, later), terms).await?);
        }
        Ok((fates.into_values().collect(), emitted))
    }

    /// One link that holds; none where an end was deleted.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn link_get(&self, id: LinkId) -> Result<Option<LinkRecord>> {
        let mut connection = self.connection().await?;
        let row: Option<LinkRow> =
            sql_query(LIVE).bind::<SqlUuid, _>(id.0).get_result(&mut connection).await.optional()?;
        row.map(LinkRow::read).transpose()
    }

    /// The links of an item, the newest first, older than `before`, at most `limit`. None when there is no
    /// such item.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn link_list(
        &self,
        id: KnowledgeId,
        filter: &LinkFilter,
        before: Option<LinkId>,
        limit: u32,
    ) -> Result<Option<Vec<SeenLink>>> {
        let mut connection = self.connection().await?;
        if !missing_of(&connection, &[id]).await?.is_empty() {
            return Ok(None);
        }
        let rows: Vec<SeenRow> = sql_query(SEEN)
            .bind::<SqlUuid, _>(id.0)
            .bind::<Array<Text>, _>(names(&filter.walk.out))
            .bind::<Array<Text>, _>(names(&filter.walk.inward))
            .bind::<Double, _>(filter.walk.min_weight)
            .bind::<Bool, _>(filter.history)
            .bind::<Nullable<SqlUuid>, _>(before.map(|id| id.0))
            .bind::<BigInt, _>(i64::from(limit))
            .get_results(&mut connection)
            .await?;
        rows.into_iter().map(SeenRow::read).collect::<Result<_>>().map(Some)
    }

    /// Changes a link. None when there is no such link.
    ///
    /// # Errors
    /// [`Error::Stale`] when `version` is given and is not the present one; the database is unavailable.
    pub async fn link_update(
        &self,
        id: LinkId,
        change: &LinkChange,
        version: Option<i32>,
        terms: &LeaseTerms,
    ) -> Result<Option<(LinkRecord, Option<Emitted>)>> {
        let mut connection = self.connection().await?;
        connection
            .transaction(async |tx| {
                let row: Option<LinkRow> =
                    sql_query(format!("{LIVE} FOR UPDATE")).bind::<SqlUuid, _>(id.0).get_result(tx).await.optional()?;
                let Some(present) = row.map(LinkRow::read).transpose()? else { return Ok(None) };
                if version.is_some_and(|expected| expected != present.version) {
                    return Err(Error::Stale);
                }
                let Some(changed) = revise_in_tx(tx, &present, change).await? else { return Ok(Some((present, None))) };
                let event = told_in_tx(tx, Known::LinkUpdated, &changed).await?;
                let emitted = self.event_emit_in_tx(tx, event, terms).await?;
                Ok(Some((changed, Some(emitted))))
            })
            .await
    }

    /// Ends a link; it stays in the history of its items. None when there is no such link.
    ///
    /// # Errors
    /// The database is unavailable or refuses.
    pub async fn link_delete(&self, id: LinkId, terms: &LeaseTerms) -> Result<Option<Emitted>> {
        let mut connection = self.connection().await?;
        connection
            .transaction(async |tx| {
                let row: Option<LinkRow> =
                    sql_query(format!("{LIVE} FOR UPDATE")).bind::<SqlUuid, _>(id.0).get_result(tx).await.optional()?;
                let Some(record) = row.map(LinkRow::read).transpose()? else { return Ok(None) };
                diesel::update(knowledge_links::table.find(id.0))
                    .set((
                        knowledge_links::valid_to.eq(diesel::dsl::now),
                        knowledge_links::version.eq(record.version + 1),
                        knowledge_links::updated_at.eq(diesel::dsl::now),
                    ))
                    .execute(tx)
                    .await?;
                let event = told_in_tx(tx, Known::LinkDeleted, &record).await?;
                self.event_emit_in_tx(tx, event, terms).await.map(Some)
            })
            .await
    }
}

/// The names of kinds as the table has them.
pub(crate) fn names(kinds: &[LinkKind]) -> Vec<&'static str> {
    kinds.iter().map(|kind| kind.as_str()).collect()
}

/// Kinds whose writers take turns first and as they came, for the first of two that close a circle wins; then
/// the others in the order of their keys, so that no two writers wait for each other.
fn ordered(links: &[NewLink]) -> Vec<(usize, &NewLink)> {
    let (mut order, mut rest): (Vec<_>, Vec<_>) =
        links.iter().enumerate().partition(|(_, link)| link.kind().is_acyclic());
    rest.sort_by_key(|(_, link)| (link.source_id(), link.target_id(), link.kind()));
    order.extend(rest);
    order
}

async fn ends_in_tx(tx: &mut AsyncPgConnection, links: &[NewLink]) -> Result<BTreeMap<KnowledgeId, String>> {
    let ids: BTreeSet<Uuid> = links.iter().flat_map(|link| [link.source_id().0, link.target_id().0]).collect();
    let rows: Vec<LabelRow> =
        statement(ENDS).bind::<Array<SqlUuid>, _>(ids.into_iter().collect::<Vec<_>>()).get_results(tx).await?;
    Ok(rows.into_iter().map(LabelRow::read).collect())
}

/// Two writers of such a kind must not each close one half of a circle that neither sees.
async fn cycle_lock_in_tx(tx: &mut AsyncPgConnection, kind: LinkKind) -> Result<()> {
    sql_query("SELECT pg_advisory_xact_lock($1, hashtext($2))")
        .bind::<Integer, _>(CYCLE_LOCK)
        .bind::<Text, _>(kind.as_str())
        .execute(tx)
        .await?;
    Ok(())
}

async fn link_put_in_tx(
    tx: &mut AsyncPgConnection,
    link: &NewLink,
    ends: &BTreeMap<KnowledgeId, String>,
) -> Result<LinkFate> {
    let missing: Vec<_> =
        [link.source_id(), link.target_id()].into_iter().filter(|id| !ends.contains_key(id)).collect();
    if !missing.is_empty() {
        return Ok(LinkFate::Dangling(missing));
    }
    for _ in 0..TRIES {
        if let Some(present) = link_find_in_tx(tx, link).await? {
            let change = LinkChange {
                weight: link.weight(),
                note: link.note().map(|note| Some(note.to_owned())),
                metadata: link.metadata().cloned(),
            };
            let revised = revise_in_tx(tx, &present, &change).await?;
            return Ok(revised.map_or(LinkFate::Present(present), LinkFate::Updated));
        }
        if link.kind().is_acyclic()
            && let Some(circle) = circle_in_tx(tx, link).await?
        {
            return Ok(LinkFate::Cyclic(circle));
        }
        if let Some(record) = link_insert_in_tx(tx, link).await? {
            return Ok(LinkFate::Created(record));
        }
    }
    Err(Error::Stale)
}

async fn link_find_in_tx(tx: &mut AsyncPgConnection, link: &NewLink) -> Result<Option<LinkRecord>> {
    let row: Option<LinkRow> = knowledge_links::table
        .filter(knowledge_links::source_id.eq(link.source_id().0))
        .filter(knowledge_links::target_id.eq(link.target_id().0))
        .filter(knowledge_links::kind.eq(link.kind().as_str()))
        .filter(knowledge_links::valid_to.is_null())
        .select(LinkRow::as_select())
        .for_update()
        .first(tx)
        .await
        .optional()?;
    row.map(LinkRow::read).transpose()
}

/// None where somebody else has just made the same link.
async fn link_insert_in_tx(tx: &mut AsyncPgConnection, link: &NewLink) -> Result<Option<LinkRecord>> {
    let metadata = link.metadata().cloned().unwrap_or_default();
    let row: Option<LinkRow> = diesel::insert_into(knowledge_links::table)
        .values((
            knowledge_links::id.eq(LinkId::generate().0),
            knowledge_links::source_id.eq(link.source_id().0),
            knowledge_links::target_id.eq(link.target_id().0),
            knowledge_links::kind.eq(link.kind().as_str()),
            knowledge_links::weight.eq(link.weight().unwrap_or(1.0)),
            knowledge_links::note.eq(link.note()),
            knowledge_links::origin.eq(link.origin().as_str()),
            knowledge_links::metadata.eq(Value::Object(metadata)),
        ))
        .on_conflict_do_nothing()
        .returning(LinkRow::as_returning())
        .get_result(tx)
        .await
        .optional()?;
    row.map(LinkRow::read).transpose()
}

/// The way from the link's target back to its source, the source put before it: what the link would close.
async fn circle_in_tx(tx: &mut AsyncPgConnection, link: &NewLink) -> Result<Option<Vec<KnowledgeId>>> {
    way_back_in_tx(tx, link.kind(), link.source_id(), link.target_id()).await
}

async fn way_back_in_tx(
    tx: &mut AsyncPgConnection,
    kind: LinkKind,
    source: KnowledgeId,
    target: KnowledgeId,
) -> Result<Option<Vec<KnowledgeId>>> {
    // Without limits: a circle that is overlooked would stay.
    let mut search = Hops::new(target, source, u32::MAX, usize::MAX, usize::MAX);
    search_in_tx(tx, &mut search, &Walk::along(kind), None, None).await?;
    let circle = search.route().map(|route| {
        let mut circle = vec![source];
        circle.extend(route.nodes);
        circle
    });
    Ok(circle)
}

/// Makes sure that an item that has just come back closes no circle: others may have been linked meanwhile.
///
/// # Errors
/// [`Error::Cycle`] with the circle.
pub(crate) async fn closes_no_circle_in_tx(tx: &mut AsyncPgConnection, id: KnowledgeId) -> Result<()> {
    for kind in LinkKind::ALL.iter().copied().filter(|kind| kind.is_acyclic()) {
        cycle_lock_in_tx(tx, kind).await?;
        let targets: Vec<Uuid> = knowledge_links::table
            .filter(knowledge_links::source_id.eq(id.0).and(knowledge_links::kind.eq(kind.as_str())))
            .filter(knowledge_links::valid_to.is_null().and(knowledge_links::gone_ends.eq(0)))
            .select(knowledge_links::target_id)
            .load(tx)
            .await?;
        for target in targets {
            if let Some(circle) = way_back_in_tx(tx, kind, id, KnowledgeId(target)).await? {
                return Err(Error::Cycle(circle));
            }
        }
    }
    Ok(())
}

/// None where nothing is to change.
async fn revise_in_tx(
    tx: &mut AsyncPgConnection,
    present: &LinkRecord,
    change: &LinkChange,
) -> Result<Option<LinkRecord>> {
    let weight = change.weight.unwrap_or(present.weight);
    let note = change.note.as_ref().unwrap_or(&present.note);
    let metadata = change.metadata.as_ref().unwrap_or(&present.metadata);
    if (weight, note, metadata) == (present.weight, &present.note, &present.metadata) {
        return Ok(None);
    }
    let row: LinkRow = diesel::update(knowledge_links::table.find(present.id.0))
        .set((
            knowledge_links::weight.eq(weight),
            knowledge_links::note.eq(note),
            knowledge_links::metadata.eq(Value::Object(metadata.clone())),
            knowledge_links::version.eq(present.version + 1),
            knowledge_links::updated_at.eq(diesel::dsl::now),
        ))
        .returning(LinkRow::as_returning())
        .get_result(tx)
        .await?;
    row.read().map(Some)
}

fn event_of(fate: &LinkFate, ends: &BTreeMap<KnowledgeId, String>) -> Option<NewEvent> {
    match fate {
        LinkFate::Created(record) => Some(told(Known::LinkCreated, record, ends)),
        LinkFate::Updated(record) => Some(told(Known::LinkUpdated, record, ends)),
        LinkFate::Present(_) | LinkFate::Dangling(_) | LinkFate::Cyclic(_) => None,
    }
}

async fn told_in_tx(tx: &mut AsyncPgConnection, known: Known, record: &LinkRecord) -> Result<NewEvent> {
    let rows: Vec<LabelRow> = statement(LABELS)
        .bind::<Array<SqlUuid>, _>([record.source_id.0, record.target_id.0].as_slice())
        .get_results(tx)
        .await?;
    Ok(told(known, record, &rows.into_iter().map(LabelRow::read).collect()))
}

/// What listeners are told of a link.
fn told(known: Known, record: &LinkRecord, ends: &BTreeMap<KnowledgeId, String>) -> NewEvent {
    let label = |id: &KnowledgeId| ends.get(id).cloned().unwrap_or_default();
    let mut payload = json!({
        "link_id": record.id,
        "source_id": record.source_id,
        "target_id": record.target_id,
        "source": label(&record.source_id),
        "kind": record.kind.as_str(),
        "target": label(&record.target_id),
        "weight": record.weight,
    });
    if let (Some(fields), Some(note)) = (payload.as_object_mut(), &record.note) {
        fields.insert("note".to_owned(), note.as_str().into());
    }
    NewEvent::new(known.event_type(), payload)
}

/// A kind as a row has it.
pub(crate) fn kind_of(row: Uuid, text: &str) -> Result<LinkKind> {
    text.parse().map_err(|source: kos_model::link::UnknownLinkKind| Error::Inconsistent {
        table: "knowledge_links",
        column: "kind",
        row: row.to_string(),
        source: Box::new(source),
    })
}

impl LinkRow {
    fn read(self) -> Result<LinkRecord> {
        let bad = |column: &'static str, source: Box<dyn std::error::Error + Send + Sync>| Error::Inconsistent {
            table: "knowledge_links",
            column,
            row: self.id.to_string(),
            source,
        };
        Ok(LinkRecord {
            id: LinkId(self.id),
            source_id: KnowledgeId(self.source_id),
            target_id: KnowledgeId(self.target_id),
            kind: kind_of(self.id, &self.kind)?,
            weight: self.weight,
            origin: self.origin.parse().map_err(|error| bad("origin", Box::new(error)))?,
            metadata: serde_json::from_value(self.metadata.clone())
                .map_err(|error| bad("metadata", Box::new(error)))?,
            note: self.note,
            version: self.version,
            created_at: self.created_at,
            updated_at: self.updated_at,
            valid_to: self.valid_to,
        })
    }
}

impl SeenRow {
    fn read(self) -> Result<SeenLink> {
        let label = kos_graph::label(self.title.as_deref(), &self.start);
        let other = Node { id: KnowledgeId(self.other_id), label, domain: self.domain, degree: 0 };
        Ok(SeenLink { link: self.link.read()?, other })
    }
}
