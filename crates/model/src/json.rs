//! JSON, read strictly: every fault with the place where it stands, in the words of JSON.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use serde_path_to_error::Segment;

use crate::violation::Violation;

/// Most of a wrong value that is quoted, in characters.
const QUOTED: usize = 40;

/// Why something could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is no JSON, or no object.
    Malformed(Violation),
    /// It is JSON of another shape than is wanted.
    Invalid(Violation),
}

impl Fault {
    /// The broken rule.
    #[must_use]
    pub fn into_violation(self) -> Violation {
        match self {
            Self::Malformed(violation) | Self::Invalid(violation) => violation,
        }
    }
}

/// Reads one JSON object.
///
/// # Errors
/// The first fault, with its place as a JSON pointer.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Fault> {
    // Serde would read an array as an object's fields in their order.
    if bytes.trim_ascii_start().starts_with(b"[") {
        let detail = "must be a JSON object, {…}, and not an array";
        return Err(Fault::Malformed(Violation::new("", "wrong_type", detail)));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let pointer = pointer(error.path());
        fault(&pointer, error.inner())
    })?;
    reader.end().map_err(|error| fault("", &error))?;
    Ok(value)
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    let segment = |segment: &Segment| match segment {
        Segment::Seq { index } => format!("/{index}"),
        Segment::Map { key } => format!("/{}", escaped(key)),
        Segment::Enum { .. } | Segment::Unknown => String::new(),
    };
    path.iter().map(segment).collect()
}

/// Names the field even where serde names only the object around it.
fn fault(pointer: &str, error: &serde_json::Error) -> Fault {
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    if error.is_syntax() || error.is_eof() {
        return Fault::Malformed(Violation::new(pointer, "invalid_json", format!("this is no JSON: {error}")));
    }
    let violation = if let Some(name) = between(text, "missing field `", "`") {
        Violation::new(format!("{pointer}/{}", escaped(name)), "missing", "is required: add it")
    } else if let Some(name) = between(text, "unknown field `", "`, expected ") {
        let known = text.rsplit_once("`, expected ").map_or("none", |(_, known)| known.trim_start_matches("one of "));
        let name = format!("/{}", escaped(name));
        let place = if pointer.ends_with(&name) { pointer.to_owned() } else { format!("{pointer}{name}") };
        Violation::new(place, "unknown_field", format!("is not known here: remove it (known are {known})"))
    } else if let Some(name) = between(text, "duplicate field `", "`") {
        Violation::new(format!("{pointer}/{}", escaped(name)), "duplicate_field", "is given twice: keep one")
    } else {
        Violation::new(pointer, "wrong_type", in_words(text))
    };
    Fault::Invalid(violation)
}

fn between<'t>(text: &'t str, before: &str, after: &str) -> Option<&'t str> {
    let rest = text.strip_prefix(before)?;
    rest.rsplit_once(after).map(|(name, _)| name)
}

/// Serde's words in those of JSON.
fn in_words(text: &str) -> String {
    let told = text.strip_prefix("invalid type: ").or_else(|| text.strip_prefix("invalid value: "));
    let Some((found, expected)) = told.and_then(|told| told.rsplit_once(", expected ")) else {
        // What is read as one of several, serde does not name.
        let is_one_of = text.starts_with("data did not match any variant");
        return if is_one_of { "must be a number or a text".to_owned() } else { format!("cannot be read: {text}") };
    };
    format!("must be {}, and not {}", json_type(expected), json_value(found))
}

fn json_type(expected: &str) -> &str {
    match expected {
        "f64" | "f32" => "a number",
        "u16" | "u32" | "u64" | "usize" => "a whole number that is not negative",
        "i16" | "i32" | "i64" => "a whole number",
        "a sequence" => "an array",
        "a map" => "an object",
        other if other.starts_with("struct ") => "an object",
        other => other,
    }
}

fn json_value(found: &str) -> String {
    match found {
        "map" => return "an object".to_owned(),
        "sequence" => return "an array".to_owned(),
        _ => {}
    }
    let short: String = found.chars().take(QUOTED).collect();
    if short.len() < found.len() { format!("{short}…") } else { short }
}

/// Refuses what Postgres cannot keep in JSON, at the place where it stands.
///
/// # Errors
/// The first name or text with the character U+0000.
pub fn storable(pointer: &str, fields: &Map<String, Value>) -> Result<(), Violation> {
    fields.iter().try_for_each(|(name, value)| {
        let place = format!("{pointer}/{}", escaped(name));
        if name.contains('\0') { Err(nul(&place)) } else { storable_value(&place, value) }
    })
}

fn storable_value(pointer: &str, value: &Value) -> Result<(), Violation> {
    match value {
        Value::String(text) if text.contains('\0') => Err(nul(pointer)),
        Value::Array(items) => {
            items.iter().enumerate().try_for_each(|(index, item)| storable_value(&format!("{pointer}/{index}"), item))
        }
        Value::Object(fields) => storable(pointer, fields),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

pub(crate) fn nul(place: &str) -> Violation {
    Violation::new(place, "nul_character", "must not contain the character U+0000: remove it")
}

/// A field's name within a JSON pointer (RFC 6901).
#[must_use]
pub fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
