//! Knowledge as lines of a file (NDJSON): one item or link a line, with all that makes it the same elsewhere.

mod link_line;

use std::collections::HashSet;

use chrono::{DateTime, Datelike, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use self::link_line::{ImportLink, LINK, LinkLine};

use super::{KnowledgeDraft, NewKnowledge};
use crate::field::whole;
use crate::id::KnowledgeId;
use crate::json;
use crate::ndjson::{Line, Lines};
use crate::violation::{Violation, Violations};

/// Longest line, in bytes.
pub const MAX_LINE: usize = 2 << 20;
/// Most items that are stored together.
pub const MAX_CHUNK: usize = 1_000;
/// Bytes of lines after which a chunk is complete, however few they are.
const CHUNK_BYTES: usize = 4 << 20;
/// Errors that an import tells of; the rest it only counts.
pub const MAX_ERRORS: usize = 100;
/// What a line about a piece of knowledge says of its kind.
pub const KIND: &str = "knowledge";

/// What readers said of it, added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feedback {
    /// The sum of all, each from -1 to 1.
    pub sum: f64,
    /// How many.
    pub count: i32,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnowledgeLine {
    /// `knowledge`, also when it is left out.
    #[serde(rename = "type", default = "kind")]
    pub kind: String,
    /// Its id; a new one when left out.
    pub id: Option<KnowledgeId>,
    /// A name for people.
    pub title: Option<String>,
    /// The text itself.
    pub content: String,
    /// The domain's name.
    pub domain: Option<String>,
    /// How sure we are, 0 to 1.
    pub confidence_score: Option<f64>,
    /// Whether somebody confirmed it.
    #[serde(default)]
    pub is_verified: bool,
    /// Where it comes from.
    pub source_ref: Option<String>,
    /// Words it is found by.
    #[serde(default)]
    pub tags: Vec<String>,
    /// The language's code.
    pub lang: Option<String>,
    /// Anything else.
    #[serde(default, deserialize_with = "json::fields")]
    pub metadata: Map<String, Value>,
    /// What readers said of it.
    #[serde(default)]
    pub feedback: Feedback,
    /// Counts its changes, from 1.
    pub version: Option<i32>,
    /// When it was added.
    pub created_at: Option<DateTime<Utc>>,
    /// When it was last changed.
    pub updated_at: Option<DateTime<Utc>>,
    /// When somebody last stood by it.
    pub confirmed_at: Option<DateTime<Utc>>,
}

/// What a line may count to, so that it can be counted on from there.
const MAX_COUNT: i32 = 1_000_000_000;
/// What readers' judgements may add up to, but for nothing at all: less is lost when it is divided.
const MIN_SUM: f64 = 1e-9;

fn kind() -> String {
    KIND.to_owned()
}

/// A line that has passed its rules.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportItem {
    /// The number of its line, from 1.
    pub line: u64,
    /// Its id; a new one when there is none.
    pub id: Option<KnowledgeId>,
    /// What it says.
    pub new: NewKnowledge,
    /// Whether somebody confirmed it.
    pub is_verified: bool,
    /// What readers said of it.
    pub feedback: Feedback,
    /// Counts its changes, from 1.
    pub version: i32,
    /// When it was added.
    pub created_at: Option<DateTime<Utc>>,
    /// When it was last changed.
    pub updated_at: Option<DateTime<Utc>>,
    /// When somebody last stood by it.
    pub confirmed_at: Option<DateTime<Utc>>,
}

/// A line of either kind that has passed its rules.
#[derive(Clone, Debug, PartialEq)]
pub enum ImportLine {
    /// A piece of knowledge.
    Item(Box<ImportItem>),
    /// A link between two.
    Link(Box<ImportLink>),
}

impl ImportLine {
    /// Reads a line.
    ///
    /// # Errors
    /// Every broken rule, each with its field; the first fault of what is no such line.
    pub fn read(number: u64, line: &[u8]) -> Result<Self, Violations> {
        // Editors of other systems begin a file with a mark of its encoding.
        let line = line.strip_prefix("\u{feff}".as_bytes()).filter(|_| number == 1).unwrap_or(line);
        match json::read::<KnowledgeLine>(line) {
            Ok(read) => Ok(Self::Item(Box::new(read.check(number)?))),
            Err(fault) => match kind_of(line).as_deref() {
                Some(LINK) => {
                    let read = json::read::<LinkLine>(line).map_err(json::Fault::into_violation)?;
                    Ok(Self::Link(Box::new(read.check(number)?)))
                }
                // Of a line of another kind, the kind is at fault and not the fields.
                Some(kind) if kind != KIND => Err(wrong_kind().into()),
                Some(_) | None => Err(fault.into_violation().into()),
            },
        }
    }

    /// The number of its line, from 1.
    #[must_use]
    pub const fn number(&self) -> u64 {
        match self {
            Self::Item(item) => item.line,
            Self::Link(link) => link.line,
        }
    }
}

/// What a line says of its kind, whatever else it says.
fn kind_of(line: &[u8]) -> Option<String> {
    let read: Value = serde_json::from_slice(line).ok()?;
    read.get("type")?.as_str().map(str::to_owned)
}

fn wrong_kind() -> Violation {
    Violation::new("/type", "unknown_type", "must be `knowledge` or `link`; `knowledge` may be left out")
}

fn version_of(given: Option<i32>) -> Result<i32, Violation> {
    let version = given.unwrap_or(1);
    if (1..=MAX_COUNT).contains(&version) {
        return Ok(version);
    }
    Err(Violation::new("/version", "out_of_range", format!("must be from 1 to {MAX_COUNT}")))
}

impl KnowledgeLine {
    fn check(self, line: u64) -> Result<ImportItem, Violations> {
        let mut faults = Violations::new();
        if self.kind != KIND {
            faults.push(wrong_kind());
        }
        let draft = KnowledgeDraft {
            title: self.title,
            content: self.content,
            domain: self.domain,
            confidence_score: self.confidence_score,
            source_ref: self.source_ref,
            tags: self.tags,
            lang: self.lang,
            metadata: self.metadata,
        };
        let new =
            draft.check().map_err(|broken| broken.as_slice().iter().cloned().for_each(|one| faults.push(one))).ok();
        let version = faults.take(version_of(self.version)).unwrap_or_default();
        let Feedback { sum, count } = self.feedback;
        let is_tiny = sum != 0.0 && sum.abs() < MIN_SUM;
        if !(0..=MAX_COUNT).contains(&count) || sum.abs() > f64::from(count) || is_tiny {
            let detail = format!(
                "must be a count, up to {MAX_COUNT}, and a sum of so many numbers from -1 to 1: leave it out if you do not know it"
            );
            faults.push(Violation::new("/feedback", "out_of_range", detail));
        }
        let mut time =
            |pointer, given: Option<DateTime<Utc>>| given.and_then(|time| faults.take(time_at(pointer, time)));
        let created_at = time("/created_at", self.created_at);
        let updated_at = time("/updated_at", self.updated_at);
        let confirmed_at = time("/confirmed_at", self.confirmed_at);
        match new {
            Some(new) if faults.is_empty() => Ok(ImportItem {
                line,
                id: self.id,
                new,
                is_verified: self.is_verified,
                feedback: self.feedback,
                version,
                created_at,
                updated_at,
                confirmed_at,
            }),
            _ => Err(faults),
        }
    }
}

/// As Postgres keeps it: to the microsecond.
fn time_at(pointer: &str, time: DateTime<Utc>) -> Result<DateTime<Utc>, Violation> {
    let time = whole(time);
    if (1970..=9999).contains(&time.year()) {
        return Ok(time);
    }
    Err(Violation::new(pointer, "out_of_range", "must lie in the years 1970 to 9999"))
}

/// What an import came to, so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    /// Lines whose item was not there.
    pub imported: u64,
    /// Lines whose item was there and said something else.
    pub updated: u64,
    /// Lines whose item was there already, or another with the same text: nothing was changed.
    pub duplicates: u64,
    /// Lines that could not be stored.
    pub failed: u64,
    /// The first of those, each with its line.
    pub errors: Vec<LineError>,
}

/// Why a line could not be stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LineError {
    /// The line's number, from 1.
    pub line: u64,
    /// The rule that it breaks, for programs.
    pub code: &'static str,
    /// What is wrong and how to mend it, field by field.
    pub detail: String,
}

/// What became of one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportFate {
    /// It was not there.
    Imported,
    /// It was there and said something else.
    Updated,
    /// It was there already, or another with the same text.
    Duplicate,
    /// It cannot be stored.
    Failed(Violation),
}

/// Lines that are stored together.
pub type Chunk = Vec<ImportLine>;

/// An import under way: bytes in, chunks out, and the account of both.
#[derive(Debug)]
pub struct Importer {
    lines: Lines,
    chunk: Chunk,
    bytes: usize,
    ids: HashSet<KnowledgeId>,
    report: ImportReport,
}

impl Default for Importer {
    fn default() -> Self {
        let (lines, report) = (Lines::new(MAX_LINE), ImportReport::default());
        Self { lines, chunk: Chunk::new(), bytes: 0, ids: HashSet::new(), report }
    }
}

impl Importer {
    /// Reads on; returns the chunks that are complete.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Chunk> {
        let (mut ended, mut chunks) = (Vec::new(), Vec::new());
        self.lines.feed(bytes, |line| ended.push(line));
        for line in ended {
            chunks.extend(self.line(line));
        }
        chunks
    }

    /// The last chunk, once there are no more bytes.
    pub fn end(&mut self) -> Vec<Chunk> {
        let last = self.lines.end();
        let mut chunks: Vec<Chunk> = last.and_then(|line| self.line(line)).into_iter().collect();
        chunks.extend(self.complete());
        chunks
    }

    /// Notes what became of a chunk's items, in their order.
    pub fn note(&mut self, lines: &[u64], fates: Vec<ImportFate>) {
        for (line, fate) in lines.iter().zip(fates) {
            match fate {
                ImportFate::Imported => self.report.imported += 1,
                ImportFate::Updated => self.report.updated += 1,
                ImportFate::Duplicate => self.report.duplicates += 1,
                ImportFate::Failed(violation) => self.fail(*line, &violation.into()),
            }
        }
    }

    /// What it has come to.
    #[must_use]
    pub const fn report(&self) -> &ImportReport {
        &self.report
    }

    /// What it came to; errors in the order of their lines.
    #[must_use]
    pub fn into_report(mut self) -> ImportReport {
        self.report.errors.sort_by_key(|error| error.line);
        self.report
    }

    fn line(&mut self, line: Line) -> Option<Chunk> {
        let (number, line) = match line {
            Line::Whole(number, line) => (number, line),
            Line::TooLong(number) => {
                let detail = format!("the line is longer than {MAX_LINE} bytes: shorten or split the item");
                self.fail(number, &Violation::new("", "too_large", detail).into());
                return None;
            }
        };
        let read = match ImportLine::read(number, &line) {
            Ok(read) => read,
            Err(faults) => {
                self.fail(number, &faults);
                return None;
            }
        };
        // An item that is there twice is stored twice, one after the other.
        let id = match &read {
            ImportLine::Item(item) => item.id,
            ImportLine::Link(_) => None,
        };
        let is_again = id.is_some_and(|id| self.ids.contains(&id));
        let is_full = self.chunk.len() >= MAX_CHUNK || self.bytes + line.len() > CHUNK_BYTES;
        let complete = if is_again || is_full { self.complete() } else { None };
        self.ids.extend(id);
        self.bytes += line.len();
        self.chunk.push(read);
        complete
    }

    fn complete(&mut self) -> Option<Chunk> {
        self.ids.clear();
        self.bytes = 0;
        let chunk = std::mem::take(&mut self.chunk);
        (!chunk.is_empty()).then_some(chunk)
    }

    fn fail(&mut self, line: u64, faults: &Violations) {
        self.report.failed += 1;
        if self.report.errors.len() < MAX_ERRORS {
            let code = faults.as_slice().first().map_or("invalid", |fault| fault.code);
            self.report.errors.push(LineError { line, code, detail: faults.to_string() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(text: &str) -> Vec<(u64, &'static str, String)> {
        let mut importer = Importer::default();
        importer.feed(text.as_bytes());
        importer.end();
        let report = importer.into_report();
        assert_eq!(report.failed, u64::try_from(report.errors.len()).unwrap());
        report.errors.into_iter().map(|error| (error.line, error.code, error.detail)).collect()
    }

    #[test]
    fn a_broken_line_is_told_by_its_number_and_reason() {
        let text = r#"
            {"content": "good"}
            {"content":
            {"content": "x", "colour": 1}
            {"type": "edge", "source_id": 1}
            {"content": "x", "confidence_score": 2, "version": 0, "feedback": {"sum": 3, "count": 2}}
            {"content": "x", "created_at": "+20000-01-01T00:00:00Z"}
            {"content": "x", "id": "1"}
            ["x"]
            {"type": "link", "source_id": 1}
            {"type": "link", "source_id": "01900000-0000-7000-8000-000000000001", "target_id": "01900000-0000-7000-8000-000000000001", "kind": "likes", "weight": 2}"#;
        let told = codes(text);
        let short: Vec<_> = told.iter().map(|(line, code, _)| (*line, *code)).collect();
        assert_eq!(
            short,
            [
                (3, "invalid_json"),
                (4, "unknown_field"),
                (5, "unknown_type"),
                (6, "out_of_range"),
                (7, "out_of_range"),
                (8, "wrong_type"),
                (9, "wrong_type"),
                (10, "wrong_type"),
                (11, "unknown_kind"),
            ]
        );
        let sixth = &told[3].2;
        assert!(told[5].2.starts_with("id: cannot be read: UUID"), "{}", told[5].2);
        assert!(["confidence_score: ", "version: ", "feedback: "].iter().all(|field| sixth.contains(field)), "{sixth}");
    }

    #[test]
    fn only_the_first_hundred_errors_are_told_and_all_are_counted() {
        let mut importer = Importer::default();
        importer.feed("x\n".repeat(250).as_bytes());
        let report = importer.into_report();
        assert_eq!((report.failed, report.errors.len(), report.errors[99].line), (250, 100, 100));
    }

    #[test]
    fn chunks_hold_a_thousand_items_and_no_item_twice() {
        let mut importer = Importer::default();
        let many: String = (0..2_500).map(|number| format!("{{\"content\": \"{number}\"}}\n")).collect();
        let mut sizes: Vec<usize> = importer.feed(many.as_bytes()).iter().map(Vec::len).collect();
        sizes.extend(importer.end().iter().map(Vec::len));
        assert_eq!(sizes, [1_000, 1_000, 500]);
        let one = "{\"content\": \"x\", \"id\": \"01900000-0000-7000-8000-000000000000\"}\n";
        let mut sizes: Vec<usize> = importer.feed(one.repeat(3).as_bytes()).iter().map(Vec::len).collect();
        sizes.extend(importer.end().iter().map(Vec::len));
        assert_eq!(sizes, [1, 1, 1]);
    }

    #[test]
    fn a_chunk_of_long_lines_is_complete_early() {
        let mut importer = Importer::default();
        let line = format!("{{\"content\": \"{}\"}}\n", "x".repeat(190_000));
        let chunks: usize = (0..100).map(|_| importer.feed(line.as_bytes()).len()).sum();
        assert!(chunks >= 4, "{chunks}");
    }

    #[test]
    fn a_link_is_read_back_as_it_was_written_and_needs_little() {
        let line = r#"{"type":"link","id":"01900000-0000-7000-8000-000000000003","source_id":"01900000-0000-7000-8000-000000000001","target_id":"01900000-0000-7000-8000-000000000002","kind":"depends_on","weight":0.5,"note":"n","origin":"suggested","metadata":{"n":1.1},"version":7,"created_at":"2025-11-24T12:00:00.123456Z","updated_at":"2025-11-24T12:00:00Z"}"#;
        let read: LinkLine = serde_json::from_str(line).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), line);
        let short = r#"{"type":"link","source_id":"01900000-0000-7000-8000-000000000001","target_id":"01900000-0000-7000-8000-000000000002","kind":"required_by"}"#;
        let ImportLine::Link(link) = ImportLine::read(1, short.as_bytes()).unwrap() else { panic!("{short}") };
        assert_eq!((link.new.source_id().to_string().pop(), link.version), (Some('2'), 1));
    }

    #[test]
    fn a_line_is_read_back_as_it_was_written() {
        let line = r#"{"type":"knowledge","id":"01900000-0000-7000-8000-000000000000","title":"T","content":"c","domain":"d","confidence_score":0.30000000000000004,"is_verified":true,"source_ref":null,"tags":["a"],"lang":"en","metadata":{"n":1.1},"feedback":{"sum":0.1,"count":3},"version":7,"created_at":"2025-11-24T12:00:00.123456Z","updated_at":"2025-11-24T12:00:00Z","confirmed_at":"2025-11-24T12:00:00Z"}"#;
        let read: KnowledgeLine = serde_json::from_str(line).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), line);
    }
}
