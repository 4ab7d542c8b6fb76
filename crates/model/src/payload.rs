//! An event's details: JSON that is read once, checked, and from then on carried as its own text.
//!
//! The text is what is stored and what a custom endpoint receives, byte for byte, on every attempt:
//! numbers keep their digits and fields their order. Only a chat's message takes it apart again.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::json::escaped;
use crate::violation::Violation;

/// Deepest nesting of objects and lists.
pub const MAX_DEPTH: usize = 32;

/// JSON without white space between its parts, whose every name and text Postgres can keep.
#[derive(Clone)]
pub struct Payload(Arc<RawValue>);

impl Payload {
    /// Reads JSON of any kind. `pointer` is where it stands in the request.
    ///
    /// # Errors
    /// The first fault with its place: no JSON, a name given twice, the character U+0000, nesting
    /// deeper than [`MAX_DEPTH`].
    pub fn parse(pointer: &str, json: &str) -> Result<Self, Violation> {
        check(pointer, json)?;
        let unreadable = |error: serde_json::Error| Violation::new(pointer, "invalid_json", error.to_string());
        RawValue::from_string(minified(json)).map(|raw| Self(raw.into())).map_err(unreadable)
    }

    /// The JSON.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// The JSON, taken apart.
    #[must_use]
    pub fn value(&self) -> Value {
        serde_json::from_str(self.as_str()).unwrap_or_default()
    }

    /// Whether it is an object.
    #[must_use]
    pub fn is_object(&self) -> bool {
        self.as_str().starts_with('{')
    }
}

/// What our own programs put together needs no check.
impl From<Value> for Payload {
    fn from(value: Value) -> Self {
        // A value is always JSON, and its text always a raw value.
        Self(RawValue::from_string(value.to_string()).unwrap_or_default().into())
    }
}

impl Default for Payload {
    fn default() -> Self {
        Self::from(Value::Object(serde_json::Map::new()))
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// Leaves out the white space between the parts; what stands in quotes stays as it is.
fn minified(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find(['"', ' ', '\t', '\r', '\n']) {
        let (before, from) = rest.split_at(at);
        text.push_str(before);
        let taken = if from.starts_with('"') { quoted(from) } else { "" };
        text.push_str(taken);
        rest = from.get(taken.len().max(1)..).unwrap_or_default();
    }
    text.push_str(rest);
    text
}

/// The quoted text that `json` begins with, both quotes included.
fn quoted(json: &str) -> &str {
    let mut escaped = false;
    for (at, byte) in json.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return json.get(..=at).unwrap_or(json),
            _ => {}
        }
    }
    json
}

fn check(pointer: &str, json: &str) -> Result<(), Violation> {
    let mut fault = None;
    let mut path = pointer.to_owned();
    let mut reader = serde_json::Deserializer::from_str(json);
    let read = Check { path: &mut path, depth: 0, fault: &mut fault }.deserialize(&mut reader);
    let read = read.and_then(|()| reader.end());
    match (fault, read) {
        (Some(fault), _) => Err(fault),
        (None, Err(error)) => Err(Violation::new(path, "invalid_json", format!("this is no JSON: {error}"))),
        (None, Ok(())) => Ok(()),
    }
}

/// Walks over a value and keeps nothing of it but the path to where it stands.
struct Check<'a> {
    path: &'a mut String,
    depth: usize,
    fault: &'a mut Option<Violation>,
}

impl Check<'_> {
    fn refuse<E: serde::de::Error>(&mut self, code: &'static str, detail: impl Into<String>) -> E {
        let violation = Violation::new(self.path.clone(), code, detail);
        let error = E::custom(&violation.detail);
        self.fault.get_or_insert(violation);
        error
    }

    fn deeper<E: serde::de::Error>(&mut self) -> Result<usize, E> {
        if self.depth == MAX_DEPTH {
            return Err(self.refuse("too_deep", format!("nests deeper than {MAX_DEPTH} levels: flatten it")));
        }
        Ok(self.depth + 1)
    }

    fn text<E: serde::de::Error>(&mut self, text: &str) -> Result<(), E> {
        if text.contains('\0') {
            return Err(self.refuse("nul_character", "must not contain the character U+0000: remove it"));
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Check<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Check<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: serde::de::Error>(mut self, text: &str) -> Result<(), E> {
        self.text(text)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        let depth = self.deeper()?;
        let length = self.path.len();
        for index in 0_usize.. {
            self.path.push_str(&format!("/{index}"));
            let item = Check { path: self.path, depth, fault: self.fault };
            if items.next_element_seed(item)?.is_none() {
                break;
            }
            self.path.truncate(length);
        }
        self.path.truncate(length);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut fields: A) -> Result<(), A::Error> {
        let depth = self.deeper()?;
        let length = self.path.len();
        let mut names = HashSet::new();
        while let Some(name) = fields.next_key::<std::borrow::Cow<'de, str>>()? {
            self.path.push('/');
            self.path.push_str(&escaped(&name));
            self.text(&name)?;
            if names.contains(&name) {
                return Err(self.refuse("duplicate_field", "is given twice: keep one"));
            }
            names.insert(name);
            fields.next_value_seed(Check { path: self.path, depth, fault: self.fault })?;
            self.path.truncate(length);
        }
        Ok(())
    }
}

/// Reads what our own database gives back: it was checked when it went in.
impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(|raw| Self(raw.into()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(json: &str) -> (String, &'static str) {
        let fault = Payload::parse("/payload", json).unwrap_err();
        (fault.pointer, fault.code)
    }

    #[test]
    fn the_text_is_kept_but_for_the_space_between_its_parts() {
        let json = "{ \"b\" : 1.10 ,\n\t\"a\": [ \"x \\\" y\", 1e3, 123456789012345678901234567890 ] }";
        let payload = Payload::parse("/payload", json).unwrap();
        assert_eq!(payload.as_str(), r#"{"b":1.10,"a":["x \" y",1e3,123456789012345678901234567890]}"#);
        assert!(payload.is_object());
    }

    #[test]
    fn what_cannot_be_kept_is_named_by_its_place() {
        assert_eq!(refused(r#"{"a":{"b":["\u0000"]}}"#), ("/payload/a/b/0".to_owned(), "nul_character"));
        assert_eq!(refused(r#"{"a\u0000":1}"#).1, "nul_character");
        assert_eq!(refused(r#"{"a":{"x/y":1,"x/y":2}}"#), ("/payload/a/x~1y".to_owned(), "duplicate_field"));
        assert_eq!(refused(&format!("{}{}", "[".repeat(33), "]".repeat(33))).1, "too_deep");
        assert!(Payload::parse("", &format!("{}{}", "[".repeat(32), "]".repeat(32))).is_ok());
        for broken in ["", "{", "{\"a\":}", "[1,]", "nul", "{\"a\":1} x", "\"\u{1}\""] {
            assert_eq!(refused(broken).1, "invalid_json", "{broken}");
        }
        assert!(Payload::parse("", r#"{"a":"\\u0000"}"#).is_ok(), "an escaped backslash is no U+0000");
    }

    proptest! {
        #[test]
        fn whatever_the_layout_the_value_is_the_same(value in any::<Vec<(String, f64)>>(), text in "\\PC{0,40}") {
            let fields: serde_json::Map<String, Value> =
                value.into_iter().map(|(name, number)| (name.replace('\0', ""), number.into())).collect();
            let value = serde_json::json!({"fields": fields, "text": text.replace('\0', "")});
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            let payload = Payload::parse("", &pretty).unwrap();
            prop_assert_eq!(payload.value(), serde_json::from_str::<Value>(&pretty).unwrap());
            prop_assert_eq!(payload.as_str(), value.to_string());
        }
    }
}
