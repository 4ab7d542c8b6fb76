//! Lines of a file into knowledge: what is not there is stored, what says something else is changed, and
//! what is there already stays as it is, so that the same file may come again.

use std::collections::{HashMap, HashSet};

use diesel::prelude::*;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
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

/// What a chunk's items are to become.
#[derive(Default)]
struct Decided<'a> {
    fates: Vec<ImportFate>,
    newborn: Vec<Newborn<'a>>,
    updates: Vec<(&'a KnowledgeRecord, &'a ImportItem)>,
}

impl Repository {
    /// Stores a chunk of lines, the items in one transaction and then the links in one, and says what became of
    /// each. Events tell of them only where there are terms for their deliveries. A line that the database refuses
    /// spoils no other.
    ///
    /// # Errors
    /// The database is unavailable; then nothing of the chunk is stored, or its items alone, which change nothing
    /// when they come again.
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
        let marks: Vec<Mark> = items.iter().map(|item| Mark::of(&item.new.fields().content)).collect();
        match self.import_together(items, &marks, events).await {
            Err(error) if !error.is_unavailable() || matches!(error, Error::Contended) => {}
            other => return other,
        }
        let mut imported = Imported::default();
        for (item, mark) in items.iter().zip(&marks) {
            settle(&mut imported, self.import_together(&[item], std::slice::from_ref(mark), events).await)?;
        }
        Ok(imported)
    }

    async fn import_together(
        &self,
        items: &[&ImportItem],
        marks: &[Mark],
        events: Option<&LeaseTerms>,
    ) -> Result<Imported> {
        let mut connection = self.connection().await?;
        for _ in 0..ATTEMPTS {
            let stored = connection.transaction(async |tx| self.import_in_tx(tx, items, marks, events).await).await;
            match stored {
                Err(error) if is_raced(&error) => {}
                other => return other,
            }
        }
        Err(Error::Contended)
    }

    async fn import_in_tx(
        &self,
        tx: &mut AsyncPgConnection,
        items: &[&ImportItem],
        marks: &[Mark],
        events: Option<&LeaseTerms>,
    ) -> Result<Imported> {
        let present = lock_in_tx(tx, items.iter().filter_map(|item| item.id).collect()).await?;
        let live = live_by_hash(tx, marks.iter().map(|mark| mark.hash.as_slice()).collect()).await?;
        let decided = decide(items, marks, &present, live);
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

/// The rows of these ids, in the bin or not, locked until the transaction ends.
async fn lock_in_tx(tx: &mut AsyncPgConnection, ids: Vec<KnowledgeId>) -> Result<HashMap<Uuid, KnowledgeRecord>> {
    let ids: Vec<Uuid> = ids.into_iter().map(|id| id.0).collect();
    let there: Vec<Uuid> = knowledge::table
        .filter(knowledge::id.eq_any(ids))
        .select(knowledge::id)
        .order(knowledge::id)
        .for_update()
        .load(tx)
        .await?;
    if there.is_empty() {
        return Ok(HashMap::new());
    }
    let records = records_by_id(tx, &there).await?;
    Ok(records.into_iter().map(|record| (record.id.0, record)).collect())
}

fn decide<'a>(
    items: &[&'a ImportItem],
    marks: &'a [Mark],
    present: &'a HashMap<Uuid, KnowledgeRecord>,
    mut live: HashMap<Vec<u8>, Uuid>,
) -> Decided<'a> {
    let mut decided = Decided::default();
    let mut seen = HashSet::new();
    let becomes: HashMap<Uuid, &Mark> =
        items.iter().zip(marks).filter_map(|(item, mark)| Some((item.id?.0, mark))).collect();
    for (item, mark) in items.iter().zip(marks) {
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
                decided.newborn.push(newborn(id, item, mark));
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

fn newborn<'a>(id: Uuid, item: &'a ImportItem, mark: &'a Mark) -> Newborn<'a> {
    Newborn {
        id,
        fields: item.new.fields(),
        mark,
        is_verified: item.is_verified,
        feedback: item.feedback,
        version: item.version,
        created_at: item.created_at,
        updated_at: item.updated_at,
        confirmed_at: item.confirmed_at,
    }
}
