//! Domains by their names: made when new.

use std::collections::{BTreeSet, HashMap};

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kos_model::DomainId;
use kos_model::event::Known;
use serde_json::json;
use uuid::Uuid;

use crate::error::Result;
use crate::event::NewEvent;
use crate::schema::domains;

/// A domain as its knowledge needs it.
#[derive(Clone, Copy, Debug)]
pub(super) struct DomainRef {
    pub(super) id: Uuid,
    pub(super) half_life_days: Option<f64>,
}

/// Domains by their names.
#[derive(Default)]
pub(super) struct Domains {
    pub(super) by_name: HashMap<String, DomainRef>,
    /// What is to be told of those that are new.
    pub(super) events: Vec<NewEvent>,
}

/// The domains of these names. They are made in the order of their names, so that two writers never
/// wait for each other in a circle.
pub(super) async fn domains_ensure_in_tx(tx: &mut AsyncPgConnection, names: &BTreeSet<&str>) -> Result<Domains> {
    if names.is_empty() {
        return Ok(Domains::default());
    }
    let mut by_name = find(tx, names).await?;
    let new: Vec<_> = names.iter().filter(|name| !by_name.contains_key(**name)).collect();
    if new.is_empty() {
        return Ok(Domains { by_name, events: Vec::new() });
    }
    let rows: Vec<_> =
        new.iter().map(|name| (domains::id.eq(DomainId::generate().0), domains::name.eq(**name))).collect();
    // Two writers may name the same new domain: the later one waits for the first and takes its row.
    let made: Vec<(Uuid, String)> = diesel::insert_into(domains::table)
        .values(rows)
        .on_conflict(domains::name)
        .do_nothing()
        .returning((domains::id, domains::name))
        .get_results(tx)
        .await?;
    by_name = find(tx, names).await?;
    Ok(Domains { by_name, events: made.into_iter().map(|(id, name)| born(id, &name)).collect() })
}

fn born(id: Uuid, name: &str) -> NewEvent {
    NewEvent::new(Known::DomainCreated.event_type(), json!({"domain_id": id, "name": name}))
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
