//! Domains by their names: made when new.

use std::collections::{BTreeSet, HashMap};

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kos_model::KnowledgeId;
use uuid::Uuid;

use crate::error::Result;
use crate::schema::domains;

/// A domain as its knowledge needs it.
#[derive(Clone, Copy, Debug)]
pub(super) struct DomainRef {
    pub(super) id: Uuid,
    pub(super) half_life_days: Option<f64>,
}

/// The domains of these names. They are made in the order of their names, so that two writers never
/// wait for each other in a circle.
pub(super) async fn domains_ensure_in_tx(
    tx: &mut AsyncPgConnection,
    names: &BTreeSet<&str>,
) -> Result<HashMap<String, DomainRef>> {
    if names.is_empty() {
        return Ok(HashMap::new());
    }
    let mut known = find(tx, names).await?;
    let new: Vec<_> = names.iter().filter(|name| !known.contains_key(**name)).collect();
    if !new.is_empty() {
        let rows: Vec<_> =
            new.iter().map(|name| (domains::id.eq(KnowledgeId::generate().0), domains::name.eq(**name))).collect();
        // Two writers may name the same new domain: the later one waits for the first and takes its row.
        diesel::insert_into(domains::table).values(rows).on_conflict(domains::name).do_nothing().execute(tx).await?;
        known = find(tx, names).await?;
    }
    Ok(known)
}

async fn find(tx: &mut AsyncPgConnection, names: &BTreeSet<&str>) -> Result<HashMap<String, DomainRef>> {
    let rows: Vec<(String, Uuid, Option<f64>)> = domains::table
        .filter(domains::name.eq_any(names.iter().copied().collect::<Vec<_>>()))
        .select((domains::name, domains::id, domains::half_life_days))
        // Held: none can be removed before what is about to point at it is stored.
        .for_key_share()
        .load(tx)
        .await?;
    Ok(rows.into_iter().map(|(name, id, half_life_days)| (name, DomainRef { id, half_life_days })).collect())
}
