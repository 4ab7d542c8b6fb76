//! Links: how two pieces of knowledge bear on each other.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::id::KnowledgeId;
use crate::knowledge::text;
use crate::violation::{Violation, Violations};

/// Longest note, in characters.
pub const MAX_NOTE: usize = 2_000;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $inverse:literal;)+) => {
        /// How the source of a link bears on its target.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum LinkKind {
            $($(#[$doc])* $name,)+
        }

        impl LinkKind {
            /// Every kind there is.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Its name, read from the source to the target.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// Its name, read from the target to the source; the same for symmetric kinds.
            #[must_use]
            pub const fn inverse(self) -> &'static str {
                match self { $(Self::$name => $inverse,)+ }
            }
        }
    };
}

kinds! {
    /// Both are about the same matter.
    RelatedTo = "related_to", "related_to";
    /// Both cannot be true.
    Contradicts = "contradicts", "contradicts";
    /// Both say the same.
    DuplicateOf = "duplicate_of", "duplicate_of";
    /// The source holds only as long as the target does.
    DependsOn = "depends_on", "required_by";
    /// The source speaks for the target.
    Supports = "supports", "supported_by";
    /// The source is a part of the target.
    PartOf = "part_of", "has_part";
    /// The source was made from the target.
    DerivedFrom = "derived_from", "source_of";
    /// The source takes the target's place.
    Supersedes = "supersedes", "superseded_by";
    /// The source answers the question that the target asks.
    Answers = "answers", "answered_by";
    /// The source is an example of the target.
    ExampleOf = "example_of", "has_example";
}

impl LinkKind {
    /// Whether it says the same in both directions.
    #[must_use]
    pub const fn is_symmetric(self) -> bool {
        matches!(self, Self::RelatedTo | Self::Contradicts | Self::DuplicateOf)
    }

    /// Whether its links may not lead back to where they began.
    #[must_use]
    pub const fn is_acyclic(self) -> bool {
        matches!(self, Self::DependsOn | Self::PartOf)
    }
}

impl fmt::Display for LinkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for LinkKind {
    type Err = UnknownLinkKind;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.iter().copied().find(|kind| kind.as_str() == text);
        known.ok_or_else(|| UnknownLinkKind(text.chars().take(40).collect()))
    }
}

/// A kind by one of its two names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkName {
    /// The kind.
    pub kind: LinkKind,
    /// Whether the name is the inverse one, read from the target to the source.
    pub inverted: bool,
}

/// The text names no kind of link.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no kind of link: use one of {names}", names = LinkName::list())]
pub struct UnknownLinkKind(String);

impl LinkName {
    /// Every name, for people.
    #[must_use]
    pub fn list() -> String {
        let both = |kind: &LinkKind| match kind.is_symmetric() {
            true => kind.as_str().to_owned(),
            false => format!("{}, {}", kind.as_str(), kind.inverse()),
        };
        LinkKind::ALL.iter().map(both).collect::<Vec<_>>().join(", ")
    }

    /// The name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        if self.inverted { self.kind.inverse() } else { self.kind.as_str() }
    }
}

impl FromStr for LinkName {
    type Err = UnknownLinkKind;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(kind) = LinkKind::ALL.iter().copied().find(|kind| kind.inverse() == text) {
            return Ok(Self { kind, inverted: !kind.is_symmetric() });
        }
        text.parse().map(|kind| Self { kind, inverted: false })
    }
}

/// Who made a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkOrigin {
    /// Somebody, of his own accord.
    Manual,
    /// The service suggested it, and somebody agreed.
    Suggested,
}

impl LinkOrigin {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Suggested => "suggested",
        }
    }
}

impl FromStr for LinkOrigin {
    type Err = UnknownLinkOrigin;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "manual" => Ok(Self::Manual),
            "suggested" => Ok(Self::Suggested),
            _ => Err(UnknownLinkOrigin),
        }
    }
}

/// The text names no origin of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is neither manual nor suggested")]
pub struct UnknownLinkOrigin;

/// The fields of a new link as somebody sent them.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkDraft {
    /// One end.
    pub source_id: String,
    /// The other end.
    pub target_id: String,
    /// A kind's name or inverse name.
    pub kind: String,
    /// How strong it is, 0 to 1.
    pub weight: Option<f64>,
    /// Why it is there.
    pub note: Option<String>,
    /// Anything else, kept as it is.
    pub metadata: Option<Map<String, Value>>,
    /// Who made it.
    pub origin: LinkOrigin,
}

/// A link that has passed its rules, its ends in the order in which they are stored: an inverse name has
/// become the direct one, and a symmetric kind begins at the smaller id.
#[derive(Clone, Debug, PartialEq)]
pub struct NewLink {
    source_id: KnowledgeId,
    target_id: KnowledgeId,
    kind: LinkKind,
    swapped: bool,
    weight: Option<f64>,
    note: Option<String>,
    metadata: Option<Map<String, Value>>,
    origin: LinkOrigin,
}

impl LinkDraft {
    /// Applies the rules.
    ///
    /// # Errors
    /// Every broken rule, each with its field.
    pub fn check(self) -> Result<NewLink, Violations> {
        let mut faults = Violations::new();
        let source = faults.take(id("/source_id", &self.source_id));
        let target = faults.take(id("/target_id", &self.target_id));
        let named = self.kind.parse::<LinkName>();
        let name = faults.take(named.map_err(|error| Violation::new("/kind", "unknown_kind", error.to_string())));
        let weight = self.weight.and_then(|weight| faults.take(strength(weight)));
        let note = self.note.and_then(|note| faults.take(text("/note", &note, MAX_NOTE)));
        if source.is_some() && source == target {
            let detail = "is the item itself: name another one, nothing is linked with itself";
            faults.push(Violation::new("/target_id", "self_link", detail));
        }
        let (Some(source), Some(target), Some(name), true) = (source, target, name, faults.is_empty()) else {
            return Err(faults);
        };
        let swapped = if name.kind.is_symmetric() { source > target } else { name.inverted };
        let (source_id, target_id) = if swapped { (target, source) } else { (source, target) };
        let (kind, metadata, origin) = (name.kind, self.metadata, self.origin);
        Ok(NewLink { source_id, target_id, kind, swapped, weight, note, metadata, origin })
    }
}

fn id(pointer: &str, given: &str) -> Result<KnowledgeId, Violation> {
    given.parse().map_err(|_not_an_id| {
        Violation::new(pointer, "invalid_id", "must be a UUID such as 0190b0d2-7b1c-7c3e-8f00-1234567890ab")
    })
}

fn strength(weight: f64) -> Result<f64, Violation> {
    if (0.0..=1.0).contains(&weight) {
        // Minus zero is zero.
        Ok(weight.abs())
    } else {
        Err(Violation::new("/weight", "out_of_range", "must be a number from 0 to 1"))
    }
}

impl NewLink {
    /// Where it begins.
    #[must_use]
    pub const fn source_id(&self) -> KnowledgeId {
        self.source_id
    }

    /// Where it leads.
    #[must_use]
    pub const fn target_id(&self) -> KnowledgeId {
        self.target_id
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> LinkKind {
        self.kind
    }

    /// Which field of the draft named this end.
    #[must_use]
    pub fn pointer_of(&self, end: KnowledgeId) -> &'static str {
        if (end == self.source_id) == self.swapped { "/target_id" } else { "/source_id" }
    }

    /// The fields that name what does not exist.
    #[must_use]
    pub fn dangling(&self, missing: &[KnowledgeId]) -> Violations {
        let mut faults = Violations::new();
        for id in missing {
            let detail = format!("no knowledge has the id {id}: name one that exists");
            faults.push(Violation::new(self.pointer_of(*id), "not_found", detail));
        }
        faults
    }

    /// How strong it is, 0 to 1, when that was said.
    #[must_use]
    pub const fn weight(&self) -> Option<f64> {
        self.weight
    }

    /// Why it is there.
    #[must_use]
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// Anything else, when something was said.
    #[must_use]
    pub const fn metadata(&self) -> Option<&Map<String, Value>> {
        self.metadata.as_ref()
    }

    /// Who made it.
    #[must_use]
    pub const fn origin(&self) -> LinkOrigin {
        self.origin
    }
}

/// What is to change about a link; `None` leaves it as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LinkChange {
    /// How strong it is, 0 to 1.
    pub weight: Option<f64>,
    /// Why it is there; `Some(None)` for no note.
    pub note: Option<Option<String>>,
    /// Anything else; replaces what was there.
    pub metadata: Option<Map<String, Value>>,
}

impl LinkChange {
    /// Applies the rules.
    ///
    /// # Errors
    /// Every broken rule, each with its field.
    pub fn check(self) -> Result<Self, Violations> {
        let mut faults = Violations::new();
        let weight = self.weight.and_then(|weight| faults.take(strength(weight)));
        let note = match self.note {
            Some(Some(note)) => faults.take(text("/note", &note, MAX_NOTE)).map(Some),
            unchanged_or_none => unchanged_or_none,
        };
        if faults.is_empty() { Ok(Self { weight, note, metadata: self.metadata }) } else { Err(faults) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const LOW: &str = "01900000-0000-7000-8000-000000000001";
    const HIGH: &str = "01900000-0000-7000-8000-000000000002";

    fn draft(source: &str, kind: &str, target: &str) -> LinkDraft {
        LinkDraft {
            source_id: source.to_owned(),
            target_id: target.to_owned(),
            kind: kind.to_owned(),
            weight: None,
            note: None,
            metadata: None,
            origin: LinkOrigin::Manual,
        }
    }

    fn ends(link: &NewLink) -> (String, &'static str, String) {
        (link.source_id().to_string(), link.kind().as_str(), link.target_id().to_string())
    }

    #[test]
    fn every_kind_has_two_names_of_its_own_or_is_symmetric() {
        let mut names = HashSet::new();
        for kind in LinkKind::ALL {
            assert!(names.insert(kind.as_str()));
            assert_eq!(kind.inverse() == kind.as_str(), kind.is_symmetric(), "{kind}");
            assert!(kind.is_symmetric() || names.insert(kind.inverse()), "{kind}");
            assert_eq!(kind.as_str().parse::<LinkName>().unwrap().as_str(), kind.as_str());
            assert_eq!(kind.inverse().parse::<LinkName>().unwrap().as_str(), kind.inverse());
        }
    }

    #[test]
    fn an_inverse_name_becomes_the_direct_one_with_its_ends_swapped() {
        let direct = draft(LOW, "depends_on", HIGH).check().unwrap();
        let inverse = draft(HIGH, "required_by", LOW).check().unwrap();
        assert_eq!(ends(&direct), (LOW.to_owned(), "depends_on", HIGH.to_owned()));
        assert_eq!(ends(&inverse), ends(&direct));
        assert_eq!(inverse.pointer_of(inverse.source_id()), "/target_id");
        assert_eq!(direct.pointer_of(direct.source_id()), "/source_id");
    }

    #[test]
    fn a_symmetric_kind_is_the_same_link_from_both_sides() {
        let there = draft(LOW, "related_to", HIGH).check().unwrap();
        let back = draft(HIGH, "related_to", LOW).check().unwrap();
        assert_eq!(ends(&there), ends(&back));
        assert_eq!(back.pointer_of(back.source_id()), "/target_id");
        assert_eq!(back.pointer_of(back.target_id()), "/source_id");
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let bad = LinkDraft { weight: Some(f64::NAN), note: Some(" ".to_owned()), ..draft("x", "likes", "y") };
        let faults = bad.check().unwrap_err();
        let pointers: Vec<_> = faults.as_slice().iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!(pointers, ["/source_id", "/target_id", "/kind", "/weight", "/note"]);
        let itself = draft(LOW, "supports", LOW).check().unwrap_err();
        assert_eq!(itself.as_slice().first().unwrap().pointer, "/target_id");
    }
}
