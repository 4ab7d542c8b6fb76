//! A link as a line of a file, with all that makes it the same link elsewhere.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{time_at, version_of};
use crate::id::{KnowledgeId, LinkId};
use crate::link::{LinkDraft, LinkOrigin, NewLink};
use crate::violation::{Violation, Violations};

/// What a line about a link says of its kind.
pub const LINK: &str = "link";

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkLine {
    /// `link`.
    #[serde(rename = "type")]
    pub line: String,
    /// Its id; a new one when left out.
    pub id: Option<LinkId>,
    /// One end.
    pub source_id: KnowledgeId,
    /// The other end.
    pub target_id: KnowledgeId,
    /// A kind's name or inverse name.
    pub kind: String,
    /// How strong it is, 0 to 1.
    pub weight: Option<f64>,
    /// Why it is there.
    pub note: Option<String>,
    /// Who made it.
    pub origin: Option<LinkOrigin>,
    /// Anything else.
    #[serde(default)]
    pub metadata: Map<String, Value>,
    /// Counts its changes, from 1.
    pub version: Option<i32>,
    /// When it was made.
    pub created_at: Option<DateTime<Utc>>,
    /// When it was last changed.
    pub updated_at: Option<DateTime<Utc>>,
}

/// A line about a link that has passed its rules.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportLink {
    /// The number of its line, from 1.
    pub line: u64,
    /// Its id; a new one when there is none.
    pub id: Option<LinkId>,
    /// What it says.
    pub new: NewLink,
    /// Counts its changes, from 1.
    pub version: i32,
    /// When it was made.
    pub created_at: Option<DateTime<Utc>>,
    /// When it was last changed.
    pub updated_at: Option<DateTime<Utc>>,
}

impl LinkLine {
    pub(super) fn check(self, line: u64) -> Result<ImportLink, Violations> {
        let draft = LinkDraft {
            source_id: self.source_id.to_string(),
            target_id: self.target_id.to_string(),
            kind: self.kind,
            weight: self.weight,
            note: self.note,
            metadata: Some(self.metadata),
            origin: self.origin.unwrap_or(LinkOrigin::Manual),
        };
        let mut faults = Violations::new();
        let keep = |broken: Violations, faults: &mut Violations| {
            broken.as_slice().iter().cloned().for_each(|one: Violation| faults.push(one));
        };
        let new = draft.check().map_err(|broken| keep(broken, &mut faults)).ok();
        let version = faults.take(version_of(self.version));
        let mut time =
            |pointer, given: Option<DateTime<Utc>>| given.and_then(|time| faults.take(time_at(pointer, time)));
        let created_at = time("/created_at", self.created_at);
        let updated_at = time("/updated_at", self.updated_at);
        match (new, version) {
            (Some(new), Some(version)) if faults.is_empty() => {
                Ok(ImportLink { line, id: self.id, new, version, created_at, updated_at })
            }
            _ => Err(faults),
        }
    }
}
