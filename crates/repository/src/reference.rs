//! Ids that point at other rows: each is looked up, and held until the transaction ends, so that what it points
//! at cannot vanish in between. Everybody locks domains first, then experts, then the rest.

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kos_model::{Violation, Violations};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::schema::{domains, experts, knowledge};

/// What is pointed at.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Referred {
    Domain,
    Expert,
    Knowledge,
}

impl Referred {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Domain => "domain",
            Self::Expert => "expert",
            Self::Knowledge => "knowledge",
        }
    }

    /// Those of the ids that exist, held; in the order of their ids, lest two who hold some wait for each other.
    async fn present_in_tx(self, tx: &mut AsyncPgConnection, ids: &[Uuid]) -> QueryResult<Vec<Uuid>> {
        match self {
            Self::Domain => {
                let known = domains::table.select(domains::id).filter(domains::id.eq_any(ids));
                known.order(domains::id).for_key_share().load(tx).await
            }
            Self::Expert => {
                let known = experts::table.select(experts::id).filter(experts::id.eq_any(ids));
                known.order(experts::id).for_key_share().load(tx).await
            }
            Self::Knowledge => {
                let known = knowledge::table.select(knowledge::id).filter(knowledge::id.eq_any(ids));
                let kept = known.filter(knowledge::deleted_at.is_null());
                kept.order(knowledge::id).for_key_share().load(tx).await
            }
        }
    }
}

/// Fields that point at rows of other tables.
#[derive(Debug, Default)]
pub(crate) struct References(Vec<(String, Referred, Uuid)>);

impl References {
    /// One more, when there is one.
    pub(crate) fn with(mut self, pointer: impl Into<String>, referred: Referred, id: Option<Uuid>) -> Self {
        self.0.extend(id.map(|id| (pointer.into(), referred, id)));
        self
    }

    /// A list of them.
    pub(crate) fn with_all(mut self, pointer: &str, referred: Referred, ids: impl IntoIterator<Item = Uuid>) -> Self {
        self.0.extend(ids.into_iter().enumerate().map(|(index, id)| (format!("{pointer}/{index}"), referred, id)));
        self
    }

    /// Holds whatever is pointed at.
    ///
    /// # Errors
    /// [`Error::Dangling`] with every field that points at nothing.
    pub(crate) async fn hold_in_tx(self, tx: &mut AsyncPgConnection) -> Result<()> {
        let mut faults = Violations::new();
        for kind in [Referred::Domain, Referred::Expert, Referred::Knowledge] {
            let of_kind = |entry: &&(String, Referred, Uuid)| entry.1.as_str() == kind.as_str();
            let ids: Vec<Uuid> = self.0.iter().filter(of_kind).map(|entry| entry.2).collect();
            if ids.is_empty() {
                continue;
            }
            let present = kind.present_in_tx(tx, &ids).await?;
            for (pointer, referred, id) in self.0.iter().filter(of_kind) {
                if !present.contains(id) {
                    let detail = format!("no {} has the id {id}: name one that exists", referred.as_str());
                    faults.push(Violation::new(pointer, "no_such_reference", detail));
                }
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(Error::Dangling(faults)) }
    }
}

/// The new value, unless it is what is there already.
pub(crate) fn changed<T: PartialEq>(new: Option<T>, present: &T) -> Option<T> {
    new.filter(|new| new != present)
}
