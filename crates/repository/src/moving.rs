//! What belongs to a domain or an expert that goes is given to another one, piece by piece: each piece is a transaction
//! of its own, so that nobody waits long, and each item has its event, and its history, as when somebody changes it by
//! hand. What others have taken away meanwhile stays where they put it. Cut off in between, it goes on when the same
//! is asked again.

use std::sync::Arc;
use std::time::Duration;

use diesel::result::{Error as DieselError, OptionalExtension as _};
use diesel::sql_types::{BigInt, Integer, Text, Uuid as SqlUuid};
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use kos_model::event::Known;
use kos_model::{DomainId, ExpertId};
use secrecy::ExposeSecret;
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

use crate::database::{Repository, pooled};
use crate::domain::domain_remove_in_tx;
use crate::error::{Error, Result, is_late, is_raced};
use crate::event::{Emitted, LeaseTerms, NewEvent};
use crate::expert::expert_remove_in_tx;
use crate::knowledge::ATTEMPTS;
use crate::reference::{References, Referred};

/// How many moves go on at once: each has two connections.
pub(crate) const MOVES: usize = 4;
/// How long a further one waits for its turn.
const TURN: Duration = Duration::from_secs(2);

#[derive(QueryableByName)]
struct VersionRow {
    #[diesel(sql_type = Integer)]
    version: i32,
}

#[derive(QueryableByName)]
struct CountRow {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

const OF_DOMAIN: &str = "
SELECT (SELECT count(*) FROM knowledge WHERE domain_id = $1) + (SELECT count(*) FROM tasks WHERE domain_id = $1)
     + (SELECT count(*) FROM expert_domains WHERE domain_id = $1) AS count";

const OF_EXPERT: &str = "
SELECT (SELECT count(*) FROM tasks WHERE assignee_id = $1) + (SELECT count(*) FROM interactions WHERE expert_id = $1) AS count";

/// A piece that was moved.
#[derive(Debug)]
pub(crate) struct Moved {
    /// One of its events that have listeners, if any has; they are left to the claims.
    pub(crate) heard: Option<Emitted>,
    /// How many items.
    pub(crate) count: usize,
    /// Whether nothing is left to move.
    pub(crate) is_all: bool,
}

/// How a step holds what goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grip {
    /// Others may refer to it meanwhile: those who do so without a pause do not keep the step from moving what is there.
    Shared,
    /// Nobody refers to it from here on: nothing comes after what is moved, and it can be removed.
    Sole,
}

impl Grip {
    /// Of the step that follows one that moved all, or not all.
    const fn after(is_all: bool) -> Self {
        if is_all { Self::Sole } else { Self::Shared }
    }
}

/// A step that was taken.
#[derive(Debug)]
pub(crate) struct Step {
    /// What was told.
    pub(crate) told_of: Vec<Emitted>,
    /// How many items were moved.
    pub(crate) count: usize,
    /// Whether nothing was left to move.
    pub(crate) is_all: bool,
}

/// What goes, and who takes over what belongs to it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Leaving {
    Domain { id: DomainId, move_to: Option<DomainId> },
    Expert { id: ExpertId, move_to: Option<ExpertId> },
}

impl Leaving {
    const fn kind(self) -> Referred {
        match self {
            Self::Domain { .. } => Referred::Domain,
            Self::Expert { .. } => Referred::Expert,
        }
    }

    const fn id(self) -> Uuid {
        match self {
            Self::Domain { id, .. } => id.0,
            Self::Expert { id, .. } => id.0,
        }
    }

    fn move_to(self) -> Option<Uuid> {
        match self {
            Self::Domain { move_to, .. } => move_to.map(|id| id.0),
            Self::Expert { move_to, .. } => move_to.map(|id| id.0),
        }
    }

    /// Holds what goes; its version, if it is there.
    async fn hold_in_tx(self, tx: &mut AsyncPgConnection, grip: Grip) -> Result<Option<i32>> {
        let table = match self {
            Self::Domain { .. } => "domains",
            Self::Expert { .. } => "experts",
        };
        let strength = match grip {
            Grip::Shared => "NO KEY UPDATE",
            Grip::Sole => "UPDATE",
        };
        let held = sql_query(format!("SELECT version FROM {table} WHERE id = $1 FOR {strength}"));
        let held = held.bind::<SqlUuid, _>(self.id()).get_result::<VersionRow>(tx).await;
        Ok(held.optional().map_err(taken)?.map(|row| row.version))
    }

    /// How many items are moved at the most: twice as many as there are now, and some. Whoever brings more meanwhile
    /// would never let it come to an end.
    async fn most(self, connection: &mut AsyncPgConnection) -> Result<usize> {
        let count = match self {
            Self::Domain { .. } => OF_DOMAIN,
            Self::Expert { .. } => OF_EXPERT,
        };
        let row: CountRow = sql_query(count).bind::<SqlUuid, _>(self.id()).get_result(connection).await?;
        Ok(usize::try_from(row.count).unwrap_or_default().saturating_mul(2).saturating_add(1_000))
    }
}

impl Repository {
    /// Takes steps until the last one is done; says what was told. `None` when there is no such thing.
    ///
    /// # Errors
    /// [`Error::Held`] when others keep what goes for themselves, or bring more than can be moved; what was moved stays
    /// moved.
    pub(crate) async fn leave(
        &self,
        leaving: Leaving,
        version: Option<i32>,
        terms: &LeaseTerms,
    ) -> Result<Option<Vec<Emitted>>> {
        let _held = match leaving.move_to() {
            Some(to) => Some(self.move_hold(leaving.id(), to).await?),
            None => None,
        };
        let mut connection = self.connection().await?;
        // Without a new place it ends by itself: whoever brings something has it refused.
        let most = if leaving.move_to().is_some() { leaving.most(&mut connection).await? } else { usize::MAX };
        let (mut emitted, mut moved, mut version, mut races) = (Vec::new(), 0, version, 0);
        let mut grip = Grip::after(leaving.move_to().is_none());
        loop {
            let step = connection.transaction(async |tx| self.leave_in_tx(tx, leaving, grip, version, terms).await);
            match step.await {
                Err(error) if is_raced(&error) && races < ATTEMPTS => races += 1,
                Err(error) => return Err(error),
                Ok(None) => return Ok(None),
                Ok(Some(step)) => {
                    emitted.extend(step.told_of);
                    moved += step.count;
                    if grip == Grip::Sole && step.is_all {
                        return Ok(Some(emitted));
                    }
                    if !step.is_all && moved > most {
                        return Err(Error::Held);
                    }
                    // What was asked for has begun.
                    (grip, version, races) = (Grip::after(step.is_all), None, 0);
                }
            }
        }
    }

    /// A piece of what is to be moved; with the last one, and in a sole grip, the end.
    async fn leave_in_tx(
        &self,
        tx: &mut AsyncPgConnection,
        leaving: Leaving,
        grip: Grip,
        version: Option<i32>,
        terms: &LeaseTerms,
    ) -> Result<Option<Step>> {
        let Some(present) = leaving.hold_in_tx(tx, grip).await? else { return Ok(None) };
        if version.is_some_and(|expected| expected != present) {
            return Err(Error::Stale);
        }
        References::default().with("move_to", leaving.kind(), leaving.move_to()).hold_in_tx(tx).await?;
        let mut step = match leaving {
            Leaving::Domain { id, move_to } => self.domain_empty_in_tx(tx, id, move_to).await?,
            Leaving::Expert { id, move_to } => self.expert_empty_in_tx(tx, id, move_to).await?,
        };
        if grip == Grip::Shared || !step.is_all {
            return Ok(Some(step));
        }
        let (event, mut told) = match leaving {
            Leaving::Domain { id, .. } => (Known::DomainDeleted, domain_remove_in_tx(tx, id).await?),
            Leaving::Expert { id, .. } => (Known::ExpertDeleted, expert_remove_in_tx(tx, id).await?),
        };
        if let (Some(fields), Some(to)) = (told.as_object_mut(), leaving.move_to()) {
            fields.insert("moved_to".to_owned(), json!(to));
        }
        step.told_of.push(self.event_emit_in_tx(tx, NewEvent::new(event.event_type(), told), terms).await?);
        Ok(Some(step))
    }

    /// Tells of a piece of so many items, where so many are moved at once.
    pub(crate) async fn moved_in_tx(
        &self,
        tx: &mut AsyncPgConnection,
        events: Vec<NewEvent>,
        (count, most): (usize, usize),
    ) -> Result<Moved> {
        Ok(Moved { heard: self.event_leave_in_tx(tx, events).await?, count, is_all: count < most })
    }

    /// Keeps others from moving into what goes, and from removing where it goes, for as long as the answer lives: two who
    /// moved in opposite directions would give each other the same items back for ever.
    ///
    /// # Errors
    /// [`Error::Held`] when somebody else does so for too long; the database is unavailable.
    async fn move_hold(&self, from: Uuid, to: Uuid) -> Result<(AsyncPgConnection, OwnedSemaphorePermit)> {
        let permit = tokio::time::timeout(TURN, Arc::clone(&self.moves).acquire_owned()).await;
        let permit = permit.ok().and_then(std::result::Result::ok).ok_or(Error::Held)?;
        // A connection of its own: what it holds ends with it, however that comes about.
        let holder = pooled(self.url.expose_secret(), "").await;
        let mut holder = holder.map_err(|error| Error::Unavailable(Box::new(error)))?;
        let mut both = [(from, "pg_advisory_lock"), (to, "pg_advisory_lock_shared")];
        both.sort_unstable();
        for (id, lock) in both {
            let held = sql_query(format!("SELECT {lock}(hashtextextended('move ' || $1, 0))"));
            held.bind::<Text, _>(id.to_string()).execute(&mut holder).await.map_err(taken)?;
        }
        Ok((holder, permit))
    }
}

/// Why what is to be held could not be.
fn taken(error: DieselError) -> Error {
    if is_late(&error) { Error::Held } else { error.into() }
}

impl Step {
    /// In which a piece of each kind was moved.
    pub(crate) fn of<const KINDS: usize>(pieces: [Moved; KINDS]) -> Self {
        Self {
            count: pieces.iter().map(|moved| moved.count).sum(),
            is_all: pieces.iter().all(|moved| moved.is_all),
            told_of: pieces.into_iter().filter_map(|moved| moved.heard).collect(),
        }
    }
}
