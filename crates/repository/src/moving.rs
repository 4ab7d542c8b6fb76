//! What belongs to a domain or an expert that goes is given to another one, piece by piece: each piece is a transaction
//! of its own, so that nobody waits long, and each item has its event, and its history, as when somebody changes it by
//! hand. What others have taken away meanwhile stays where they put it. Cut off in between, it goes on when the same
//! is asked again.

use diesel::result::Error as DieselError;
use diesel::sql_query;
use diesel::sql_types::Text;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use kos_model::{DomainId, ExpertId};
use secrecy::ExposeSecret;
use uuid::Uuid;

use crate::database::{Repository, connect};
use crate::error::{Error, Result, is_late, is_raced};
use crate::event::{Emitted, LeaseTerms};
use crate::knowledge::ATTEMPTS;

/// A piece that was moved.
#[derive(Debug)]
pub(crate) struct Moved {
    /// One of its events that have listeners, if any has; they are left to the claims.
    pub(crate) heard: Option<Emitted>,
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
    /// From where to where, if anything is to be moved.
    fn way(self) -> Option<(Uuid, Uuid)> {
        match self {
            Self::Domain { id, move_to } => Some((id.0, move_to?.0)),
            Self::Expert { id, move_to } => Some((id.0, move_to?.0)),
        }
    }
}

impl Repository {
    /// Takes steps until the last one is done; says what was told. `None` when there is no such thing.
    pub(crate) async fn leave(
        &self,
        leaving: Leaving,
        version: Option<i32>,
        terms: &LeaseTerms,
    ) -> Result<Option<Vec<Emitted>>> {
        let _held = match leaving.way() {
            Some((from, to)) => Some(self.move_hold(from, to).await?),
            None => None,
        };
        let mut connection = self.connection().await?;
        let (mut emitted, mut version, mut races) = (Vec::new(), version, 0);
        let mut grip = Grip::after(leaving.way().is_none());
        loop {
            let step = connection.transaction(async |tx| self.leave_in_tx(tx, leaving, grip, version, terms).await);
            match step.await {
                Err(error) if is_raced(&error) && races < ATTEMPTS => races += 1,
                Err(error) => return Err(error),
                Ok(None) => return Ok(None),
                Ok(Some(step)) => {
                    emitted.extend(step.told_of);
                    if grip == Grip::Sole && step.is_all {
                        return Ok(Some(emitted));
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
        match leaving {
            Leaving::Domain { id, move_to } => self.domain_leave_in_tx(tx, (id, grip), move_to, version, terms).await,
            Leaving::Expert { id, move_to } => self.expert_leave_in_tx(tx, (id, grip), move_to, version, terms).await,
        }
    }

    /// Keeps others from moving into what goes, and from removing where it goes, for as long as the answer lives: two who
    /// moved in opposite directions would give each other the same items back for ever.
    ///
    /// # Errors
    /// [`Error::Held`] when somebody else does so for too long; the database is unavailable.
    async fn move_hold(&self, from: Uuid, to: Uuid) -> Result<AsyncPgConnection> {
        // A connection of its own: what it holds ends with it, however that comes about.
        let mut holder =
            connect(self.url.expose_secret()).await.map_err(|error| Error::Unavailable(Box::new(error)))?;
        let mut both = [(from, "pg_advisory_lock"), (to, "pg_advisory_lock_shared")];
        both.sort_unstable();
        for (id, lock) in both {
            let held = sql_query(format!("SELECT {lock}(hashtextextended('move ' || $1, 0))"));
            held.bind::<Text, _>(id.to_string()).execute(&mut holder).await.map_err(taken)?;
        }
        Ok(holder)
    }
}

/// Why what is to be held could not be.
pub(crate) fn taken(error: DieselError) -> Error {
    if is_late(&error) { Error::Held } else { error.into() }
}

impl Moved {
    /// Takes several kinds together: the events, and whether nothing is left of any.
    pub(crate) fn together<const KINDS: usize>(kinds: [Self; KINDS]) -> (Vec<Emitted>, bool) {
        let is_all = kinds.iter().all(|moved| moved.is_all);
        (kinds.into_iter().filter_map(|moved| moved.heard).collect(), is_all)
    }
}
