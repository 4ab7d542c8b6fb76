//! The knowledge of a domain that goes, put into another one.

use diesel::prelude::*;
use diesel::sql_types::{Array, Nullable, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kos_model::event::Known;
use uuid::Uuid;

use super::history::note_all_in_tx;
use super::{ACTOR_API, records_by_id, told};
use crate::database::Repository;
use crate::error::Result;
use crate::moving::Moved;
use crate::schema::knowledge;
use crate::statement::{Bind as _, statement};

/// Items that are moved at once: whole texts.
const PIECE: usize = 100;

const MOVE: &str = "UPDATE knowledge SET domain_id = $2, version = version + 1, updated_at = now() WHERE id = ANY($1)";

impl Repository {
    /// Moves a piece of it, also of what is in the bin, of which nobody is told.
    pub(crate) async fn knowledge_move_in_tx(
        &self,
        tx: &mut AsyncPgConnection,
        from: Uuid,
        to: Option<Uuid>,
    ) -> Result<Moved> {
        // In the order of the index: to sort the whole domain for each piece would take longer than to move it.
        let held = knowledge::table.filter(knowledge::domain_id.eq(from)).select(knowledge::id);
        let held = held.order((knowledge::created_at, knowledge::id));
        let limit = i64::try_from(PIECE).unwrap_or(i64::MAX);
        let chosen: Vec<Uuid> = held.limit(limit).load(tx).await?;
        // Locked in the order in which everybody does, or one waits for the other; what was moved meanwhile is left out.
        let held = knowledge::table.filter(knowledge::id.eq_any(&chosen)).filter(knowledge::domain_id.eq(from));
        let held = held.order(knowledge::id).select(knowledge::id);
        let ids: Vec<Uuid> = held.for_no_key_update().load(tx).await?;
        let before = records_by_id(tx, &ids).await?;
        note_all_in_tx(tx, before.iter(), ACTOR_API, "updated", &["domain"]).await?;
        statement(MOVE).bind::<Array<SqlUuid>, _>(&ids).bind::<Nullable<SqlUuid>, _>(to).execute(tx).await?;
        let moved = records_by_id(tx, &ids).await?;
        let live = moved.iter().filter(|record| record.deleted_at.is_none());
        let events = live.map(|record| told(Known::KnowledgeUpdated, record, &["domain"])).collect();
        let piece = self.moved_in_tx(tx, events, (chosen.len(), PIECE)).await?;
        Ok(Moved { count: ids.len(), ..piece })
    }
}
