//! JSON, read strictly: every fault with the place where it stands, in the words of JSON.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use serde::de::{DeserializeOwned, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
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

/// An object of whatever fields, none of which is given twice at any depth: Serde would keep the last one alone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields(Map<String, Value>);

impl Deref for Fields {
    type Target = Map<String, Value>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl From<Fields> for Map<String, Value> {
    fn from(fields: Fields) -> Self {
        fields.0
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut given: A) -> Result<Fields, A::Error> {
        let mut fields = Map::new();
        while let Some(name) = given.next_key::<Cow<'de, str>>()? {
            if fields.contains_key(name.as_ref()) {
                return Err(A::Error::custom(format_args!("duplicate field `{name}`")));
            }
            let Field(value) = given.next_value()?;
            fields.insert(name.into_owned(), value);
        }
        Ok(Fields(fields))
    }
}

/// As [`Fields`], for those who keep a plain map (`deserialize_with`).
///
/// # Errors
/// It is no object, or gives a field twice.
pub fn fields<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Map<String, Value>, D::Error> {
    Fields::deserialize(deserializer).map(Map::from)
}

/// A value of any kind within [`Fields`].
struct Field(Value);

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor).map(Self)
    }
}

struct FieldVisitor;

impl<'de> Visitor<'de> for FieldVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Field(value)) = items.next_element()? {
            values.push(value);
        }
        Ok(values.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, given: A) -> Result<Value, A::Error> {
        FieldsVisitor.visit_map(given).map(|fields| Value::Object(fields.0))
    }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Sent {
        metadata: Fields,
    }

    fn refused(json: &str) -> (String, &'static str) {
        let fault = read::<Sent>(json.as_bytes()).unwrap_err().into_violation();
        (fault.pointer, fault.code)
    }

    #[test]
    fn a_field_that_is_given_twice_is_named_by_its_place_at_any_depth() {
        let duplicate = |pointer: &str| (pointer.to_owned(), "duplicate_field");
        assert_eq!(refused(r#"{"metadata": {"a": 1, "a": 1}}"#), duplicate("/metadata/a"));
        assert_eq!(
            refused(r#"{"metadata": {"a": [0, {"b/c": 1, "d": 2, "b/c": 3}]}}"#),
            duplicate("/metadata/a/1/b~1c")
        );
        assert_eq!(refused(r#"{"metadata": []}"#), ("/metadata".to_owned(), "wrong_type"));
        assert_eq!(refused(r#"{"metadata": null}"#), ("/metadata".to_owned(), "wrong_type"));
    }

    #[test]
    fn what_is_wrong_with_the_whole_is_said_without_a_place() {
        let fault = read::<Sent>(b"null").unwrap_err().into_violation();
        assert_eq!(fault.to_string(), "must be an object, and not null");
    }

    proptest! {
        #[test]
        fn what_has_no_field_twice_is_read_as_it_is(fields in any::<Vec<(String, Option<f64>)>>(), flag in any::<bool>()) {
            let fields: Map<String, Value> = fields.into_iter().map(|(name, number)| (name, number.into())).collect();
            let sent = serde_json::json!({"metadata": {"deep": [fields, flag, -1, u64::MAX, "text", null]}});
            let read = read::<Sent>(sent.to_string().as_bytes()).unwrap();
            prop_assert_eq!(Value::Object(read.metadata.into()), sent["metadata"].clone());
        }
    }
}
