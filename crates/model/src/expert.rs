//! Experts: people who know domains, do tasks and answer questions.

use crate::field::{id, optional_text, text_or_empty};
use crate::id::DomainId;
use crate::knowledge::text;
use crate::violation::{Violation, Violations};

/// Longest name, in characters.
pub const MAX_NAME: usize = 200;
/// Longest role, in characters.
pub const MAX_ROLE: usize = 200;
/// Longest address, in characters (RFC 5321).
pub const MAX_EMAIL: usize = 254;
/// Longest biography, in characters.
pub const MAX_BIO: usize = 10_000;
/// Most domains of one expert.
pub const MAX_DOMAINS: usize = 100;

/// An expert who has passed the rules and is about to be stored.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct NewExpert {
    /// The name.
    pub name: String,
    /// What they do; may be empty.
    pub role: String,
    /// Where they can be written to.
    pub email: Option<String>,
    /// What else is worth knowing; may be empty.
    pub bio: String,
    /// The domains they know, each once.
    pub domain_ids: Vec<DomainId>,
}

/// The fields of a new expert as somebody sent them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExpertDraft {
    /// The name.
    pub name: String,
    /// What they do.
    pub role: Option<String>,
    /// Where they can be written to.
    pub email: Option<String>,
    /// What else is worth knowing.
    pub bio: Option<String>,
    /// The domains they know.
    pub domain_ids: Vec<String>,
}

/// A change that has passed the rules; `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ExpertChange {
    /// Another name.
    pub name: Option<String>,
    /// Another role.
    pub role: Option<String>,
    /// Another address, or none.
    pub email: Option<Option<String>>,
    /// Another biography.
    pub bio: Option<String>,
    /// The domains they know from now on, each once.
    pub domain_ids: Option<Vec<DomainId>>,
}

/// A change as somebody sent it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExpertEdit {
    /// Another name.
    pub name: Option<String>,
    /// Another role.
    pub role: Option<String>,
    /// Another address, or none.
    pub email: Option<Option<String>>,
    /// Another biography.
    pub bio: Option<String>,
    /// The domains they know from now on.
    pub domain_ids: Option<Vec<String>>,
}

impl ExpertDraft {
    /// Applies the rules.
    ///
    /// # Errors
    /// Every broken rule, each with its field.
    pub fn check(self) -> Result<NewExpert, Violations> {
        let mut faults = Violations::new();
        let name = faults.take(text("/name", &self.name, MAX_NAME));
        let role = faults.take(role(self.role.as_deref().unwrap_or_default()));
        let email = faults.take(email(self.email.as_deref()));
        let bio = faults.take(bio(self.bio.as_deref().unwrap_or_default()));
        let domain_ids = domains(&self.domain_ids, &mut faults);
        match (name, role, email, bio) {
            (Some(name), Some(role), Some(email), Some(bio)) if faults.is_empty() => {
                Ok(NewExpert { name, role, email, bio, domain_ids })
            }
            _ => Err(faults),
        }
    }
}

impl ExpertEdit {
    /// Applies the rules.
    ///
    /// # Errors
    /// Every broken rule, each with its field.
    pub fn check(self) -> Result<ExpertChange, Violations> {
        let mut faults = Violations::new();
        let change = ExpertChange {
            name: self.name.and_then(|given| faults.take(text("/name", &given, MAX_NAME))),
            role: self.role.and_then(|given| faults.take(role(&given))),
            email: self.email.and_then(|given| faults.take(email(given.as_deref()))),
            bio: self.bio.and_then(|given| faults.take(bio(&given))),
            domain_ids: self.domain_ids.map(|given| domains(&given, &mut faults)),
        };
        if faults.is_empty() { Ok(change) } else { Err(faults) }
    }
}

fn role(given: &str) -> Result<String, Violation> {
    text_or_empty("/role", given, MAX_ROLE)
}

fn bio(given: &str) -> Result<String, Violation> {
    text_or_empty("/bio", given, MAX_BIO)
}

/// Whether mail arrives there only a letter can tell; this keeps out what cannot be an address at all.
fn email(given: Option<&str>) -> Result<Option<String>, Violation> {
    let address = optional_text("/email", given, MAX_EMAIL)?;
    let is_one = |address: &String| {
        let odd = address.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | ','));
        let parts = address.rsplit_once('@');
        !odd && parts.is_some_and(|(name, host)| !name.is_empty() && !host.is_empty() && !name.contains('@'))
    };
    match address {
        Some(address) if !is_one(&address) => {
            Err(Violation::new("/email", "invalid_email", "must be an address such as anna@example.org, or null"))
        }
        Some(_) | None => Ok(address),
    }
}

fn domains(given: &[String], faults: &mut Violations) -> Vec<DomainId> {
    if given.len() > MAX_DOMAINS {
        let detail = format!("{} domains listed; at most {MAX_DOMAINS}", given.len());
        faults.push(Violation::new("/domain_ids", "too_many", detail));
        return Vec::new();
    }
    let mut known: Vec<DomainId> = Vec::with_capacity(given.len());
    for (index, text) in given.iter().enumerate() {
        let pointer = format!("/domain_ids/{index}");
        let Some(domain) = faults.take(id(&pointer, text)) else { continue };
        if known.contains(&domain) {
            faults.push(Violation::new(pointer, "duplicate", "is listed twice: keep one"));
        } else {
            known.push(domain);
        }
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_an_address_is_refused_and_an_empty_one_is_none() {
        for bad in ["anna", "@example.org", "anna@", "a b@example.org", "a@b@c", "Anna <a@b.c>", "a@b.c,d@e.f"] {
            assert_eq!(email(Some(bad)).unwrap_err().pointer, "/email", "{bad}");
        }
        assert_eq!(email(Some(" анна@пример.рф ")).unwrap().unwrap(), "анна@пример.рф");
        assert_eq!(email(Some("")).unwrap(), None);
    }

    #[test]
    fn a_domain_that_is_listed_twice_or_is_no_id_is_named_by_its_place() {
        let one = "0190b0d2-7b1c-7c3e-8f00-1234567890ab".to_owned();
        let draft = ExpertDraft {
            name: "Anna".to_owned(),
            domain_ids: vec![one.clone(), "python".to_owned(), one.to_uppercase()],
            ..ExpertDraft::default()
        };
        let faults = draft.check().unwrap_err();
        let pointers: Vec<_> = faults.as_slice().iter().map(|it| it.pointer.as_str()).collect();
        assert_eq!(pointers, ["/domain_ids/1", "/domain_ids/2"]);
    }
}
