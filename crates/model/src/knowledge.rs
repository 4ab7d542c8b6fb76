//! Knowledge: a text, what is said of it, and how sure we are.

mod simhash;
mod standing;
mod text;
pub mod transfer;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::json::storable;
use crate::violation::{Violation, Violations};

pub use simhash::simhash;
pub use standing::{effective_confidence, mean_feedback};
pub use text::{fold, language, text};

/// Longest title, in characters.
pub const MAX_TITLE: usize = 300;
/// Longest content, in characters.
pub const MAX_CONTENT: usize = 200_000;
/// Longest domain name, in characters.
pub const MAX_DOMAIN: usize = 200;
/// Longest source reference, in characters.
pub const MAX_SOURCE: usize = 2_000;
/// Most tags of one piece.
pub const MAX_TAGS: usize = 50;
/// Longest tag, in characters.
pub const MAX_TAG: usize = 64;
/// Most metadata, in bytes of JSON.
pub const MAX_METADATA: usize = 64 << 10;

/// All that people write and change of a piece of knowledge.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KnowledgeFields {
    /// A name for people.
    pub title: Option<String>,
    /// The text itself, without white space around it.
    pub content: String,
    /// The domain's name.
    pub domain: Option<String>,
    /// How sure we are, 0 to 1.
    pub confidence_score: f64,
    /// Where it comes from: an address, a document, a person.
    pub source_ref: Option<String>,
    /// Words it is found by: lower case, each once, in the order given.
    pub tags: Vec<String>,
    /// The language's code (`ru`, `en`), or `und`.
    pub lang: String,
    /// Anything else, kept as it is.
    pub metadata: Map<String, Value>,
}

impl KnowledgeFields {
    /// The names of the fields that differ.
    #[must_use]
    pub fn changed(&self, other: &Self) -> Vec<&'static str> {
        let differs = [
            ("title", self.title != other.title),
            ("content", self.content != other.content),
            ("domain", self.domain != other.domain),
            ("confidence_score", self.confidence_score.to_bits() != other.confidence_score.to_bits()),
            ("source_ref", self.source_ref != other.source_ref),
            ("tags", self.tags != other.tags),
            ("lang", self.lang != other.lang),
            ("metadata", self.metadata != other.metadata),
        ];
        differs.into_iter().filter_map(|(name, differs)| differs.then_some(name)).collect()
    }
}

/// Knowledge that has passed its rules and is about to be stored.
#[derive(Clone, Debug, PartialEq)]
pub struct NewKnowledge(KnowledgeFields);

impl NewKnowledge {
    /// What it says.
    #[must_use]
    pub const fn fields(&self) -> &KnowledgeFields {
        &self.0
    }

    /// What it says, to be kept.
    #[must_use]
    pub fn into_fields(self) -> KnowledgeFields {
        self.0
    }
}

/// The fields of new knowledge as somebody sent them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KnowledgeDraft {
    /// A name for people.
    pub title: Option<String>,
    /// The text itself.
    pub content: String,
    /// The domain's name; it is created when new.
    pub domain: Option<String>,
    /// How sure we are, 0 to 1; 1 when not given.
    pub confidence_score: Option<f64>,
    /// Where it comes from: an address, a document, a person.
    pub source_ref: Option<String>,
    /// Words it is found by.
    pub tags: Vec<String>,
    /// The language's code; judged by the letters when not given.
    pub lang: Option<String>,
    /// Anything else, kept as it is.
    pub metadata: Map<String, Value>,
}

impl KnowledgeDraft {
    /// Applies the rules.
    ///
    /// # Errors
    /// Every broken rule, each with its field.
    pub fn check(self) -> Result<NewKnowledge, Violations> {
        let mut faults = Violations::new();
        let title = self.title.and_then(|title| faults.take(text("/title", &title, MAX_TITLE)));
        let content = faults.take(text("/content", &self.content, MAX_CONTENT));
        let domain = self.domain.and_then(|name| faults.take(text("/domain", &name, MAX_DOMAIN)));
        let source_ref = self.source_ref.and_then(|source| faults.take(text("/source_ref", &source, MAX_SOURCE)));
        let confidence_score = faults.take(confidence(self.confidence_score.unwrap_or(1.0)));
        let tags = tags(&self.tags, &mut faults);
        let lang = self.lang.and_then(|code| faults.take(lang(&code)));
        faults.take(metadata(&self.metadata));
        if !faults.is_empty() {
            return Err(faults);
        }
        let content = content.unwrap_or_default();
        Ok(NewKnowledge(KnowledgeFields {
            title,
            lang: lang.unwrap_or_else(|| language(&content).to_owned()),
            content,
            domain,
            confidence_score: confidence_score.unwrap_or_default(),
            source_ref,
            tags,
            metadata: self.metadata,
        }))
    }
}

/// What somebody wants changed: `None` leaves a field as it is, `Some(None)` empties it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KnowledgeEditDraft {
    /// A name for people.
    pub title: Option<Option<String>>,
    /// The text itself; cannot be emptied.
    pub content: Option<Option<String>>,
    /// The domain's name; it is created when new.
    pub domain: Option<Option<String>>,
    /// How sure we are, 0 to 1; cannot be emptied.
    pub confidence_score: Option<Option<f64>>,
    /// Where it comes from.
    pub source_ref: Option<Option<String>>,
    /// Words it is found by.
    pub tags: Option<Option<Vec<String>>>,
    /// The language's code; emptied, it is judged by the letters again.
    pub lang: Option<Option<String>>,
    /// Anything else.
    pub metadata: Option<Option<Map<String, Value>>>,
}

/// A change that has passed its rules.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KnowledgeEdit {
    title: Option<Option<String>>,
    content: Option<String>,
    domain: Option<Option<String>>,
    confidence_score: Option<f64>,
    source_ref: Option<Option<String>>,
    tags: Option<Vec<String>>,
    lang: Option<Option<String>>,
    metadata: Option<Map<String, Value>>,
}

impl KnowledgeEditDraft {
    /// Applies the rules.
    ///
    /// # Errors
    /// Every broken rule, each with its field.
    pub fn check(self) -> Result<KnowledgeEdit, Violations> {
        let mut faults = Violations::new();
        let edit = KnowledgeEdit {
            title: optional(self.title, |title| text("/title", &title, MAX_TITLE), &mut faults),
            content: required("/content", self.content, |body| text("/content", &body, MAX_CONTENT), &mut faults),
            domain: optional(self.domain, |name| text("/domain", &name, MAX_DOMAIN), &mut faults),
            confidence_score: required("/confidence_score", self.confidence_score, confidence, &mut faults),
            source_ref: optional(self.source_ref, |source| text("/source_ref", &source, MAX_SOURCE), &mut faults),
            tags: self.tags.map(|given| tags(&given.unwrap_or_default(), &mut faults)),
            lang: optional(self.lang, |code| lang(&code), &mut faults),
            metadata: self.metadata.map(Option::unwrap_or_default),
        };
        if let Some(fields) = &edit.metadata {
            faults.take(metadata(fields));
        }
        if faults.is_empty() { Ok(edit) } else { Err(faults) }
    }
}

impl KnowledgeEdit {
    /// What the fields are after the change. A language that was judged by the letters is judged anew
    /// when the content changes.
    #[must_use]
    pub fn apply(&self, present: &KnowledgeFields) -> KnowledgeFields {
        let content = self.content.as_ref().unwrap_or(&present.content);
        let was_judged = self.content.is_some() && present.lang == language(&present.content);
        let lang = match &self.lang {
            Some(Some(code)) => code.clone(),
            None if !was_judged => present.lang.clone(),
            Some(None) | None => language(content).to_owned(),
        };
        KnowledgeFields {
            title: self.title.as_ref().unwrap_or(&present.title).clone(),
            content: content.clone(),
            domain: self.domain.as_ref().unwrap_or(&present.domain).clone(),
            confidence_score: self.confidence_score.unwrap_or(present.confidence_score),
            source_ref: self.source_ref.as_ref().unwrap_or(&present.source_ref).clone(),
            tags: self.tags.as_ref().unwrap_or(&present.tags).clone(),
            lang,
            metadata: self.metadata.as_ref().unwrap_or(&present.metadata).clone(),
        }
    }
}

fn optional<T>(
    given: Option<Option<T>>,
    rule: impl FnOnce(T) -> Result<T, Violation>,
    faults: &mut Violations,
) -> Option<Option<T>> {
    given.map(|value| value.and_then(|value| faults.take(rule(value))))
}

fn required<T>(
    pointer: &str,
    given: Option<Option<T>>,
    rule: impl FnOnce(T) -> Result<T, Violation>,
    faults: &mut Violations,
) -> Option<T> {
    let null = || Violation::new(pointer, "null", "must not be null: leave it out to keep what is there");
    given.and_then(|value| faults.take(value.ok_or_else(null).and_then(rule)))
}

fn confidence(score: f64) -> Result<f64, Violation> {
    if (0.0..=1.0).contains(&score) {
        // Not even zero has a sign here.
        Ok(score + 0.0)
    } else {
        Err(Violation::new("/confidence_score", "out_of_range", "must be a number from 0 to 1"))
    }
}

/// Tags in lower case without white space around them, each once.
///
/// # Errors
/// None is returned: what is wrong is noted in `faults`.
fn tags(given: &[String], faults: &mut Violations) -> Vec<String> {
    if given.len() > MAX_TAGS {
        let detail = format!("{} tags; at most {MAX_TAGS}: keep those that matter most", given.len());
        faults.push(Violation::new("/tags", "too_many", detail));
        return Vec::new();
    }
    let mut tags = Vec::with_capacity(given.len());
    for (index, tag) in given.iter().enumerate() {
        if let Some(tag) = faults.take(tag_at(&format!("/tags/{index}"), tag))
            && !tags.contains(&tag)
        {
            tags.push(tag);
        }
    }
    tags
}

/// One tag, as it is stored and looked for.
///
/// # Errors
/// The broken rule, at `pointer`.
pub fn tag_at(pointer: &str, tag: &str) -> Result<String, Violation> {
    let tag = text(pointer, &tag.to_lowercase(), MAX_TAG)?;
    if tag.chars().any(char::is_control) {
        let detail = "must be one line without control characters: remove them";
        return Err(Violation::new(pointer, "control_character", detail));
    }
    Ok(tag)
}

/// A language's code, as it is stored and looked for.
///
/// # Errors
/// The broken rule, at `/lang`.
pub fn lang(code: &str) -> Result<String, Violation> {
    let code = code.trim().to_ascii_lowercase();
    if (2..=3).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return Ok(code);
    }
    let detail = "must be a language's code of two or three letters, such as ru or en: leave it out to have it judged";
    Err(Violation::new("/lang", "invalid_lang", detail))
}

fn metadata(fields: &Map<String, Value>) -> Result<(), Violation> {
    storable("/metadata", fields)?;
    // A map of JSON values always serialises.
    let length = serde_json::to_vec(fields).unwrap_or_default().len();
    if length > MAX_METADATA {
        let detail = format!("has {length} bytes; at most {MAX_METADATA}: keep a link instead of the thing itself");
        return Err(Violation::new("/metadata", "too_large", detail));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(content: &str, confidence_score: Option<f64>) -> KnowledgeDraft {
        KnowledgeDraft { content: content.to_owned(), confidence_score, ..KnowledgeDraft::default() }
    }

    fn some(text: &str) -> Option<Option<String>> {
        Some(Some(text.to_owned()))
    }

    fn owned(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn a_confidence_outside_0_to_1_or_nan_is_refused() {
        for bad in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            let faults = draft("x", Some(bad)).check().unwrap_err();
            assert_eq!(faults.as_slice().first().unwrap().pointer, "/confidence_score");
        }
        let zero = draft("x", Some(-0.0)).check().unwrap().into_fields().confidence_score;
        assert!(zero.is_sign_positive());
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let mut bad = draft(" \n", Some(2.0));
        bad.title = Some("x".repeat(MAX_TITLE + 1));
        bad.domain = Some("a\0b".to_owned());
        bad.tags = vec!["ok".to_owned(), " ".to_owned(), "a\tb".to_owned(), "x".repeat(65)];
        bad.lang = Some("russian".to_owned());
        bad.metadata.insert("big".to_owned(), "x".repeat(MAX_METADATA).into());
        let faults = bad.check().unwrap_err();
        let told: Vec<_> = faults.as_slice().iter().map(|fault| (fault.pointer.as_str(), fault.code)).collect();
        assert_eq!(
            told,
            [
                ("/title", "too_long"),
                ("/content", "blank"),
                ("/domain", "nul_character"),
                ("/confidence_score", "out_of_range"),
                ("/tags/1", "blank"),
                ("/tags/2", "control_character"),
                ("/tags/3", "too_long"),
                ("/lang", "invalid_lang"),
                ("/metadata", "too_large"),
            ]
        );
        let many = KnowledgeDraft { tags: vec!["x".to_owned(); MAX_TAGS + 1], ..draft("x", None) };
        assert_eq!(many.check().unwrap_err().as_slice().first().unwrap().pointer, "/tags");
    }

    #[test]
    fn tags_are_trimmed_lowered_and_kept_once_in_their_order() {
        let given = KnowledgeDraft {
            tags: owned(&[" Python ", "АСИНХРОННОСТЬ", "python", "c++"]), ..draft("x", None)
        };
        assert_eq!(given.check().unwrap().fields().tags, ["python", "асинхронность", "c++"]);
    }

    #[test]
    fn a_change_touches_what_it_names_and_null_empties_what_may_be_empty() {
        let present = KnowledgeDraft {
            title: Some("Title".to_owned()),
            domain: Some("python".to_owned()),
            tags: owned(&["a", "b"]),
            ..draft("Текст", Some(0.5))
        };
        let present = present.check().unwrap().into_fields();
        let edit = |draft: KnowledgeEditDraft| draft.check().unwrap().apply(&present);
        assert_eq!(edit(KnowledgeEditDraft::default()), present);
        let emptied =
            KnowledgeEditDraft { title: Some(None), domain: Some(None), tags: Some(None), ..Default::default() };
        let emptied = edit(emptied);
        assert_eq!((&emptied.title, &emptied.domain, emptied.tags.len()), (&None, &None, 0));
        assert_eq!(present.changed(&emptied), ["title", "domain", "tags"]);
        let english = edit(KnowledgeEditDraft { content: some("Words"), ..Default::default() });
        assert_eq!(english.lang, "en", "the language was judged, and is judged anew");
        let chosen = edit(KnowledgeEditDraft { lang: some("uk"), ..Default::default() });
        let kept = KnowledgeEditDraft { content: some("Words"), ..Default::default() }.check().unwrap().apply(&chosen);
        assert_eq!(kept.lang, "uk", "the language was chosen, and stays");
        assert_eq!(
            KnowledgeEditDraft { lang: Some(None), ..Default::default() }.check().unwrap().apply(&chosen).lang,
            "ru"
        );
    }

    #[test]
    fn what_may_not_be_empty_refuses_null() {
        let bad = KnowledgeEditDraft { content: Some(None), confidence_score: Some(None), ..Default::default() };
        let faults = bad.check().unwrap_err();
        let told: Vec<_> = faults.as_slice().iter().map(|fault| (fault.pointer.as_str(), fault.code)).collect();
        assert_eq!(told, [("/content", "null"), ("/confidence_score", "null")]);
    }
}
