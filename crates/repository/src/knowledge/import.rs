//! Lines of a file into knowledge: what is not there is stored, what says something else is changed, and
//! what is there already stays as it is, so that the same file may come again.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, Bool, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use futures_util::future::join;
use kos_model::Violation;
use kos_model::event::Known;
use kos_model::knowledge::transfer::{ImportFate, ImportItem, ImportLine};
use kos_model::{KnowledgeId, knowledge::KnowledgeFields};
use uuid::Uuid;

use super::change::{Plan, Written, write_in_tx};
use super::create::{Mark, Newborn, insert_in_tx, live_by_hash};
use super::{ACTOR_IMPORT, ATTEMPTS, KnowledgeRecord, record_by_id, records_by_id, told};
use crate::database::Repository;
use crate::error::{Chain, Error, Result, is_raced};
use crate::event::{Emitted, LeaseTerms};
use crate::schema::knowledge;
use crate::statement::{Bind as _, statement};

/// What became of each line, and what was told of them.
pub(crate) type Imported = (Vec<ImportFate>, Vec<Emitted>);

/// Takes over what became of a line by itself: one that the database refuses spoils no other.
pub(crate) fn settle(imported: &mut Imported, one: Result<Imported>) -> Result<()> {
    let (fates, emitted) = imported;
    match one {
        Ok((fate, told)) => {
            fates.extend(fate);
            emitted.extend(told);
        }
        Err(Error::Duplicate { .. }) => fates.push(ImportFate::Duplicate),
        Err(error) if error.is_unavailable() => return Err(error),
        Err(error) => {
            let detail = format!("the database refuses it: {}", Chain(&error));
            fates.push(ImportFate::Failed(Violation::new("", "refused", detail)));
        }
    }
    Ok(())
}

/// A chunk of so many lines or more in each half may be stored by two connections at once: one keeps a single core of the
/// database busy.
const HALF: usize = 100;

/// The least by which times differ in Postgres.
const MOMENT: TimeDelta = TimeDelta::microseconds(1);

const START: &str = "
SELECT now() AS at, EXISTS (SELECT FROM knowledge WHERE id = ANY ($1)) AS is_there,
       EXISTS (SELECT FROM unnest($2) AS n (name) WHERE NOT EXISTS (SELECT FROM domains d WHERE d.name = n.name)) AS is_opening";

/// Before lines go in.
#[derive(QueryableByName)]
struct Start {
    /// When they do, all of them.
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
    /// Whether an id of theirs is there already.
    #[diesel(sql_type = Bool)]
    is_there: bool,
    /// Whether they name a domain that is new: who names it too waits until it is stored, with all that is stored with it.
    #[diesel(sql_type = Bool)]
    is_opening: bool,
}

/// A line on its way in.
struct Entry<'a> {
    item: &'a ImportItem,
    mark: Mark,
    at: DateTime<Utc>,
}

/// Lines that are stored in one transaction.
#[derive(Clone, Copy)]
struct Part<'a> {
    entries: &'a [Entry<'a>],
    /// What the whole chunk makes of the texts of the ids that it gives.
    becomes: &'a HashMap<Uuid, &'a Mark>,
    /// Who is told of it is told under these terms.
    events: Option<&'a LeaseTerms>,
}

impl Entry<'_> {
    fn newborn(&self, id: Uuid) -> Newborn<'_> {
        let item = self.item;
        Newborn {
            id,
            fields: item.new.fields(),
            mark: &self.mark,
            is_verified: item.is_verified,
            feedback: item.feedback,
            version: item.version,
            created_at: item.created_at.or(Some(self.at)),
            updated_at: item.updated_at.or(Some(self.at)),
            confirmed_at: item.confirmed_at.or(Some(self.at)),
        }
    }
}

/// What a part's items are to become.
#[derive(Default)]
struct Decided<'a> {
    fates: Vec<ImportFate>,
    newborn: Vec<Newborn<'a>>,
    updates: Vec<(&'a KnowledgeRecord, &'a ImportItem)>,
}

impl Repository {
    /// Stores a chunk of lines, the items in one transaction, or in two where they have nothing to do with each other, and
    /// then the links in one, and says what became of each. Events tell of them only where there are terms for their
    /// deliveries. A line that the database refuses spoils no other.
    ///
    /// # Errors
    /// The database is unavailable; then nothing of the chunk is stored, or items alone, which change nothing when they
    /// come again.
    pub async fn knowledge_import(&self, lines: &[ImportLine], events: Option<&LeaseTerms>) -> Result<Imported> {
        let (mut items, mut links) = (Vec::new(), Vec::new());
        for line in lines {
            match line {
                ImportLine::Item(item) => items.push(&**item),
                ImportLine::Link(link) => links.push(&**link),
            }
        }
        let (of_items, mut emitted) = self.items_import(&items, events).await?;
        let (of_links, told) = self.link_import(&links, events).await?;
        emitted.extend(told);
        let (mut of_items, mut of_links) = (of_items.into_iter(), of_links.into_iter());
        let fate = |line: &ImportLine| match line {
            ImportLine::Item(_) => of_items.next(),
            ImportLine::Link(_) => of_links.next(),
        };
        Ok((lines.iter().filter_map(fate).collect(), emitted))
    }

    async fn items_import(&self, items: &[&ImportItem], events: Option<&LeaseTerms>) -> Result<Imported> {
        if items.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        let mut connection = self.connection().await?;
        let start = import_start(&mut connection, items).await?;
        let mut entries: Vec<Entry<'_>> =
            items.iter().map(|item| Entry { item, mark: Mark::of(&item.new.fields().content), at: start.at }).collect();
        // What is told of them is told in their order.
        let may_part = events.is_none() && !start.is_there && !start.is_opening && are_apart(&entries);
        let mut second = if may_part { self.spare_connection().await } else { None };
        let half = entries.len() / 2;
        if second.is_some() {
            // The halves follow each other, whichever is stored first.
            entries.iter_mut().skip(half).for_each(|entry| entry.at += MOMENT);
        }
        let becomes = entries.iter().filter_map(|entry| Some((entry.item.id?.0, &entry.mark))).collect();
        let part = |entries| Part { entries, becomes: &becomes, events };
        let Some(second) = second.as_mut() else { return self.part_import(&mut connection, part(&entries)).await };
        let (one, other) = entries.split_at(half);
        let (one, other) =
            join(self.part_import(&mut connection, part(one)), self.part_import(second, part(other))).await;
        let (mut fates, _) = one?;
        fates.extend(other?.0);
        Ok((fates, Vec::new()))
    }

    async fn part_import(&self, connection: &mut AsyncPgConnection, part: Part<'_>) -> Result<Imported> {
        match self.import_together(connection, part).await {
            Err(error) if !error.is_unavailable() || matches!(error, Error::Contended) => {}
            other => return other,
        }
        let mut imported = Imported::default();
        for entry in part.entries {
            let line = Part { entries: std::slice::from_ref(entry), ..part };
            settle(&mut imported, self.import_together(connection, line).await)?;
        }
        Ok(imported)
    }

    async fn import_together(&self, connection: &mut AsyncPgConnection, part: Part<'_>) -> Result<Imported> {
        for _ in 0..ATTEMPTS {
            match connection.transaction(async |tx| self.import_in_tx(tx, part).await).await {
                Err(error) if is_raced(&error) => {}
                other => return other,
            }
        }
        Err(Error::Contended)
    }

    async fn import_in_tx(&self, tx: &mut AsyncPgConnection, part: Part<'_>) -> Result<Imported> {
        let Part { entries, becomes, events } = part;
        let present = lock_in_tx(tx, entries.iter().filter_map(|entry| entry.item.id).collect()).await?;
        let live = live_by_hash(tx, entries.iter().map(|entry| entry.mark.hash.as_slice()).collect()).await?;
        let decided = decide(entries, becomes, &present, live);
        let mut happened = Vec::new();
        for (before, item) in &decided.updates {
            let Written { changed, events: told_first } =
                write_in_tx(tx, before, &plan(before, item), ACTOR_IMPORT).await?;
            if events.is_some() {
                happened.extend(told_first);
                let record = record_by_id(tx, before.id).await?.ok_or(Error::Contended)?;
                happened.push(told(Known::KnowledgeUpdated, &record, &changed));
            }
        }
        let (records, of_domains) = insert_in_tx(tx, &decided.newborn, ACTOR_IMPORT, "imported").await?;
        let Some(terms) = events else { return Ok((decided.fates, Vec::new())) };
        happened.extend(of_domains);
        happened.extend(records.iter().map(|record| told(Known::KnowledgeCreated, record, &[])));
        let emitted = match happened.is_empty() {
            true => Vec::new(),
            false => self.event_emit_all_in_tx(tx, happened, terms).await?,
        };
        Ok((decided.fates, emitted))
    }
}

/// What the database says before lines go in.
async fn import_start(connection: &mut AsyncPgConnection, items: &[&ImportItem]) -> Result<Start> {
    let ids: Vec<Uuid> = items.iter().filter_map(|item| Some(item.id?.0)).collect();
    let domains: BTreeSet<&str> = items.iter().filter_map(|item| item.new.fields().domain.as_deref()).collect();
    let start = statement(START).bind::<Array<SqlUuid>, _>(ids).bind::<Array<Text>, _>(Vec::from_iter(domains));
    Ok(start.get_result(connection).await?)
}

/// Whether there are enough lines for two, and none of one half has the id or the text of a line of the other. Where none
/// of their ids is there yet either, it is the same which half is stored first.
fn are_apart(entries: &[Entry<'_>]) -> bool {
    let (one, other) = entries.split_at(entries.len() / 2);
    let ids: HashSet<KnowledgeId> = one.iter().filter_map(|entry| entry.item.id).collect();
    let texts: HashSet<&[u8]> = one.iter().map(|entry| entry.mark.hash.as_slice()).collect();
    let touches = |entry: &Entry<'_>| {
        entry.item.id.is_some_and(|id| ids.contains(&id)) || texts.contains(entry.mark.hash.as_slice())
    };
    one.len() >= HALF && !other.iter().any(touches)
}

/// The rows of these ids, in the bin or not, locked until the transaction ends.
async fn lock_in_tx(tx: &mut AsyncPgConnection, ids: Vec<KnowledgeId>) -> Result<HashMap<Uuid, KnowledgeRecord>> {
    let ids: Vec<Uuid> = ids.into_iter().map(|id| id.0).collect();
    let there: Vec<Uuid> = knowledge::table
        .filter(knowledge::id.eq_any(ids))
        .select(knowledge::id)
        .order(knowledge::id)
        .for_no_key_update()
        .load(tx)
        .await?;
    if there.is_empty() {
        return Ok(HashMap::new());
    }
    let records = records_by_id(tx, &there).await?;
    Ok(records.into_iter().map(|record| (record.id.0, record)).collect())
}

fn decide<'a>(
    entries: &'a [Entry<'a>],
    becomes: &HashMap<Uuid, &Mark>,
    present: &'a HashMap<Uuid, KnowledgeRecord>,
    mut live: HashMap<Vec<u8>, Uuid>,
) -> Decided<'a> {
    let mut decided = Decided::default();
    let mut seen = HashSet::new();
    for entry in entries {
        let (item, mark) = (entry.item, &entry.mark);
        let id = item.id.unwrap_or_else(KnowledgeId::generate).0;
        let elsewhere = live.get(&mark.hash).filter(|there| **there != id);
        let before = present.get(&id);
        let is_same = before.is_some_and(|before| says_the_same(before, item));
        let fate = match (elsewhere, before) {
            _ if is_same => ImportFate::Duplicate,
            // A change that cannot be made is no repetition.
            (Some(other), Some(_)) => ImportFate::Failed(taken(*other)),
            // Nor is one whose text the other gives up in a later line.
            (Some(other), None) if becomes.get(other).is_some_and(|it| it.hash != mark.hash) => {
                ImportFate::Failed(taken(*other))
            }
            (Some(_), None) => ImportFate::Duplicate,
            (None, _) if !seen.insert(id) => ImportFate::Duplicate,
            (None, Some(before)) => {
                // What it said until now another line may say.
                live.retain(|_, there| *there != id);
                live.insert(mark.hash.clone(), id);
                decided.updates.push((before, item));
                ImportFate::Updated
            }
            (None, None) => {
                live.insert(mark.hash.clone(), id);
                decided.newborn.push(entry.newborn(id));
                ImportFate::Imported
            }
        };
        decided.fates.push(fate);
    }
    decided
}

fn taken(other: Uuid) -> Violation {
    let detail = format!(
        "{other} has this text, and no two may: change that one first, or, where a later line does, import the file again"
    );
    Violation::new("/content", "taken", detail)
}

fn says_the_same(before: &KnowledgeRecord, item: &ImportItem) -> bool {
    before.deleted_at.is_none()
        && before.is_verified == item.is_verified
        && item.confirmed_at.is_none_or(|at| at == before.confirmed_at)
        && before.fields().changed(item.new.fields()).is_empty()
}

/// Readers go on judging what is there: their judgement in the file is older.
fn plan(before: &KnowledgeRecord, item: &ImportItem) -> Plan {
    let fields: KnowledgeFields = item.new.fields().clone();
    let plan = Plan::edited(fields, before, "imported");
    Plan { is_verified: item.is_verified, confirmed_at: item.confirmed_at, ..plan }
}
