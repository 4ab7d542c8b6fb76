//! Links out of lines of a file: what is not there is made, what says something else is changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use diesel::sql_query;
use diesel::sql_types::{Array, Double, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use kos_model::knowledge::transfer::{ImportFate, ImportLink};
use kos_model::link::LinkChange;
use kos_model::{KnowledgeId, LinkId, LinkKind, Violation};
use serde_json::Value;

use super::{
    LinkFate, LinkRecord, LinkRow, TRIES, circle_in_tx, cycle_lock_in_tx, ends_in_tx, event_of, link_find_in_tx,
    revise_in_tx,
};
use crate::database::Repository;
use crate::error::{Error, Result};
use crate::event::{LeaseTerms, NewEvent};
use crate::knowledge::{Imported, settle};

/// Links that are there already, and those whose id is, are left out.
const INSERT: &str = "
INSERT INTO knowledge_links (id, source_id, target_id, kind, weight, note, origin, metadata, version, created_at, updated_at)
SELECT n.id, n.source_id, n.target_id, n.kind, n.weight, n.note, n.origin, n.metadata, n.version,
       coalesce(n.created_at, now()), coalesce(n.updated_at, now())
FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
    AS n (id, source_id, target_id, kind, weight, note, origin, metadata, version, created_at, updated_at)
ORDER BY n.source_id, n.target_id, n.kind
ON CONFLICT DO NOTHING
RETURNING *";

type Ends = BTreeMap<KnowledgeId, String>;

impl Repository {
    /// Stores links in one transaction, and says what became of each. A link that the database refuses spoils no
    /// other.
    ///
    /// # Errors
    /// The database is unavailable; then nothing of them is stored.
    pub(crate) async fn link_import(&self, links: &[&ImportLink], events: Option<&LeaseTerms>) -> Result<Imported> {
        if links.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        match self.links_together(links, events).await {
            Err(error) if !error.is_unavailable() => {}
            other => return other,
        }
        let mut imported = Imported::default();
        for link in links {
            settle(&mut imported, self.links_together(&[link], events).await)?;
        }
        Ok(imported)
    }

    async fn links_together(&self, links: &[&ImportLink], events: Option<&LeaseTerms>) -> Result<Imported> {
        let mut connection = self.connection().await?;
        connection
            .transaction(async |tx| {
                let plain: Vec<_> = links.iter().map(|link| link.new.clone()).collect();
                let ends = ends_in_tx(tx, &plain).await?;
                let fates = store_in_tx(tx, links, &ends).await?;
                let told: Vec<NewEvent> = fates.iter().filter_map(|fate| event_of(fate, &ends)).collect();
                let emitted = match events {
                    Some(terms) if !told.is_empty() => self.event_emit_all_in_tx(tx, told, terms).await?,
                    Some(_) | None => Vec::new(),
                };
                Ok((fates.into_iter().zip(links).map(|(fate, link)| import_fate(fate, link)).collect(), emitted))
            })
            .await
    }
}

/// Those that cannot close a circle all at once; the rest, and what was there, one by one.
async fn store_in_tx(tx: &mut AsyncPgConnection, links: &[&ImportLink], ends: &Ends) -> Result<Vec<LinkFate>> {
    let is_plain = |link: &&ImportLink| !link.new.kind().is_acyclic() && missing(link, ends).is_empty();
    let plain: Vec<&ImportLink> = links.iter().copied().filter(is_plain).collect();
    let made = insert_in_tx(tx, &plain).await?;
    let mut made: HashMap<(KnowledgeId, KnowledgeId, LinkKind), LinkRecord> =
        made.into_iter().map(|record| ((record.source_id, record.target_id, record.kind), record)).collect();
    let acyclic: BTreeSet<LinkKind> =
        links.iter().map(|link| link.new.kind()).filter(|kind| kind.is_acyclic()).collect();
    for kind in acyclic {
        cycle_lock_in_tx(tx, kind).await?;
    }
    let mut fates = Vec::with_capacity(links.len());
    for link in links {
        let key = (link.new.source_id(), link.new.target_id(), link.new.kind());
        let fate = match made.remove(&key) {
            Some(record) => LinkFate::Created(record),
            None => put_in_tx(tx, link, ends).await?,
        };
        fates.push(fate);
    }
    Ok(fates)
}

fn missing(link: &ImportLink, ends: &Ends) -> Vec<KnowledgeId> {
    [link.new.source_id(), link.new.target_id()].into_iter().filter(|id| !ends.contains_key(id)).collect()
}

async fn put_in_tx(tx: &mut AsyncPgConnection, link: &ImportLink, ends: &Ends) -> Result<LinkFate> {
    let missing = missing(link, ends);
    if !missing.is_empty() {
        return Ok(LinkFate::Dangling(missing));
    }
    // What the file leaves out is not there: the file tells the whole link.
    let change = LinkChange {
        weight: Some(link.new.weight().unwrap_or(1.0)),
        note: Some(link.new.note().map(str::to_owned)),
        metadata: Some(link.new.metadata().cloned().unwrap_or_default()),
    };
    let mut wanted = link.clone();
    for _ in 0..TRIES {
        if let Some(present) = link_find_in_tx(tx, &link.new).await? {
            let revised = revise_in_tx(tx, &present, &change).await?;
            return Ok(revised.map_or(LinkFate::Present(present), LinkFate::Updated));
        }
        if link.new.kind().is_acyclic()
            && let Some(circle) = circle_in_tx(tx, &link.new).await?
        {
            return Ok(LinkFate::Cyclic(circle));
        }
        if let Some(record) = insert_in_tx(tx, &[&wanted]).await?.pop() {
            return Ok(LinkFate::Created(record));
        }
        // Its id belongs to another link, or to one that holds no longer.
        wanted.id = None;
    }
    Err(Error::Stale)
}

async fn insert_in_tx(tx: &mut AsyncPgConnection, links: &[&ImportLink]) -> Result<Vec<LinkRecord>> {
    fn all<'a, T>(links: &[&'a ImportLink], value: impl Fn(&'a ImportLink) -> T) -> Vec<T> {
        links.iter().map(|link| value(link)).collect()
    }
    if links.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<LinkRow> = sql_query(INSERT)
        .bind::<Array<SqlUuid>, _>(all(links, |link| link.id.unwrap_or_else(LinkId::generate).0))
        .bind::<Array<SqlUuid>, _>(all(links, |link| link.new.source_id().0))
        .bind::<Array<SqlUuid>, _>(all(links, |link| link.new.target_id().0))
        .bind::<Array<Text>, _>(all(links, |link| link.new.kind().as_str()))
        .bind::<Array<Double>, _>(all(links, |link| link.new.weight().unwrap_or(1.0)))
        .bind::<Array<Nullable<Text>>, _>(all(links, |link| link.new.note()))
        .bind::<Array<Text>, _>(all(links, |link| link.new.origin().as_str()))
        .bind::<Array<Jsonb>, _>(all(links, |link| Value::Object(link.new.metadata().cloned().unwrap_or_default())))
        .bind::<Array<Integer>, _>(all(links, |link| link.version))
        .bind::<Array<Nullable<Timestamptz>>, _>(all(links, |link| link.created_at))
        .bind::<Array<Nullable<Timestamptz>>, _>(all(links, |link| link.updated_at))
        .get_results(tx)
        .await?;
    rows.into_iter().map(LinkRow::read).collect()
}

fn import_fate(fate: LinkFate, link: &ImportLink) -> ImportFate {
    match fate {
        LinkFate::Created(_) => ImportFate::Imported,
        LinkFate::Updated(_) => ImportFate::Updated,
        LinkFate::Present(_) => ImportFate::Duplicate,
        LinkFate::Dangling(missing) => {
            let faults = link.new.dangling(&missing);
            let ids: Vec<String> = missing.iter().map(ToString::to_string).collect();
            let pointer = faults.as_slice().first().map_or_else(String::new, |fault| fault.pointer.clone());
            let detail = format!("no knowledge has the id {}: its line must come before", ids.join(", "));
            ImportFate::Failed(Violation::new(pointer, "not_found", detail))
        }
        LinkFate::Cyclic(circle) => {
            let circle: Vec<String> = circle.iter().map(ToString::to_string).collect();
            let detail = format!("would close a circle: remove one of {}", circle.join(" → "));
            ImportFate::Failed(Violation::new("/kind", "cycle", detail))
        }
    }
}
