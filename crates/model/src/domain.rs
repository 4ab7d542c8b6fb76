//! Domains: what knowledge, tasks and experts are sorted by.

use crate::field::text_or_empty;
use crate::knowledge::{MAX_DOMAIN, text};
use crate::violation::{Violation, Violations};

/// Longest description, in characters.
pub const MAX_DESCRIPTION: usize = 10_000;
/// Shortest half-life, in days: a minute and a half.
pub const MIN_HALF_LIFE: f64 = 0.001;
/// Longest half-life, in days: a thousand years.
pub const MAX_HALF_LIFE: f64 = 365_000.0;

/// A domain that has passed its rules and is about to be stored.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct NewDomain {
    /// Its name, which no other domain has.
    pub name: String,
    /// What it is about; may be empty.
    pub description: String,
    /// After how many days what we are sure of counts half; none where knowledge does not age.
    pub half_life_days: Option<f64>,
}

/// The fields of a new domain as somebody sent them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DomainDraft {
    /// Its name.
    pub name: String,
    /// What it is about.
    pub description: Option<String>,
    /// Its half-life in days.
    pub half_life_days: Option<f64>,
}

/// A change that has passed the rules; `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct DomainChange {
    /// Another name.
    pub name: Option<String>,
    /// Another description.
    pub description: Option<String>,
    /// Another half-life; none where knowledge does not age.
    pub half_life_days: Option<Option<f64>>,
}

/// A change as somebody sent it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DomainEdit {
    /// Another name.
    pub name: Option<String>,
    /// Another description.
    pub description: Option<String>,
    /// Another half-life.
    pub half_life_days: Option<Option<f64>>,
}

impl DomainDraft {
    /// Applies the rules.
    ///
    /// # Errors
    /// Every broken rule, each with its field.
    pub fn check(self) -> Result<NewDomain, Violations> {
        let mut faults = Violations::new();
        let name = faults.take(name(&self.name));
        let description = faults.take(description(self.description.as_deref().unwrap_or_default()));
        let half_life_days = faults.take(half_life(self.half_life_days));
        match (name, description, half_life_days) {
            (Some(name), Some(description), Some(half_life_days)) => {
                Ok(NewDomain { name, description, half_life_days })
            }
            _ => Err(faults),
        }
    }
}

impl DomainEdit {
    /// Applies the rules.
    ///
    /// # Errors
    /// Every broken rule, each with its field.
    pub fn check(self) -> Result<DomainChange, Violations> {
        let mut faults = Violations::new();
        let change = DomainChange {
            name: self.name.and_then(|given| faults.take(name(&given))),
            description: self.description.and_then(|given| faults.take(description(&given))),
            half_life_days: self.half_life_days.and_then(|given| faults.take(half_life(given))),
        };
        if faults.is_empty() { Ok(change) } else { Err(faults) }
    }
}

fn name(given: &str) -> Result<String, Violation> {
    text("/name", given, MAX_DOMAIN)
}

fn description(given: &str) -> Result<String, Violation> {
    text_or_empty("/description", given, MAX_DESCRIPTION)
}

fn half_life(days: Option<f64>) -> Result<Option<f64>, Violation> {
    if days.is_none_or(|days| (MIN_HALF_LIFE..=MAX_HALF_LIFE).contains(&days)) {
        return Ok(days);
    }
    let detail =
        format!("must be a number of days from {MIN_HALF_LIFE} to {MAX_HALF_LIFE}, or null for what does not age");
    Err(Violation::new("/half_life_days", "out_of_range", detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_told_at_once() {
        let draft = DomainDraft {
            name: " ".to_owned(),
            description: Some("x".repeat(MAX_DESCRIPTION + 1)),
            half_life_days: Some(0.0),
        };
        let pointers: Vec<_> = draft.check().unwrap_err().as_slice().iter().map(|it| it.pointer.clone()).collect();
        assert_eq!(pointers, ["/name", "/description", "/half_life_days"]);
        for bad in [f64::NAN, f64::INFINITY, -1.0, 5e-324, 1e-307] {
            let edit = DomainEdit { half_life_days: Some(Some(bad)), ..DomainEdit::default() };
            assert!(edit.check().is_err(), "{bad}");
        }
    }
}
