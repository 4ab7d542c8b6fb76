//! JSON bodies, read strictly: the right content type, the limit, every fault with its field.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::BytesMut;
use actix_web::{FromRequest, HttpRequest};
use futures_util::StreamExt;
use kos_model::{Violation, Violations};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use serde_path_to_error::Segment;
use tokio::time::timeout;

use crate::problem::{ApiError, Result};

/// Largest body, in bytes: the longest text there may be, with every letter escaped.
pub(crate) const MAX_BODY: usize = 2 << 20;
/// How long a body may take to arrive. Longer ones would also hold up the service's stop.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);
/// Most of a wrong value that is quoted, in characters.
const QUOTED: usize = 40;

/// A JSON body of at most [`MAX_BODY`] bytes.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned + 'static> FromRequest for Body<T> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let is_json = is_json(request);
        let payload = payload.take();
        Box::pin(async move {
            if !is_json {
                return Err(ApiError::UnsupportedMediaType);
            }
            parse(&read(payload).await?).map(Self)
        })
    }
}

/// A JSON body that may be left out.
pub(crate) struct OptionalBody<T>(pub(crate) T);

impl<T: DeserializeOwned + Default + 'static> FromRequest for OptionalBody<T> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let is_json = is_json(request);
        let payload = payload.take();
        Box::pin(async move {
            let bytes = read(payload).await?;
            match bytes.is_empty() {
                true => Ok(Self(T::default())),
                false if is_json => parse(&bytes).map(Self),
                false => Err(ApiError::UnsupportedMediaType),
            }
        })
    }
}

fn is_json(request: &HttpRequest) -> bool {
    let essence = |text: &str| text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let given = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(essence);
    given
        .is_some_and(|kind| kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json")))
}

async fn read(payload: Payload) -> Result<BytesMut> {
    timeout(DEADLINE, read_whole(payload)).await.unwrap_or(Err(ApiError::TooSlow))
}

async fn read_whole(mut payload: Payload) -> Result<BytesMut> {
    let mut bytes = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let cut = |error: actix_web::error::PayloadError| {
            ApiError::Malformed(Violation::new("", "incomplete", format!("the body did not arrive whole: {error}")))
        };
        let chunk = chunk.map_err(cut)?;
        if bytes.len() + chunk.len() > MAX_BODY {
            return Err(ApiError::TooLarge(MAX_BODY));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// One of several things in a body, read by itself, so that a fault in it is its own.
pub(crate) fn item<T: DeserializeOwned>(raw: &RawValue) -> std::result::Result<T, Violations> {
    parse(raw.get().as_bytes()).map_err(|error| {
        if let ApiError::Invalid(violations) = error {
            violations
        } else if let ApiError::Malformed(violation) = error {
            violation.into()
        } else {
            Violation::new("", "wrong_type", error.to_string()).into()
        }
    })
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    // Serde would read an array as an object's fields in their order.
    if bytes.trim_ascii_start().starts_with(b"[") {
        let detail = "must be a JSON object, {…}, and not an array";
        return Err(ApiError::Malformed(Violation::new("", "wrong_type", detail)));
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
fn fault(pointer: &str, error: &serde_json::Error) -> ApiError {
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    if error.is_syntax() || error.is_eof() {
        return ApiError::Malformed(Violation::new(pointer, "invalid_json", format!("this is no JSON: {error}")));
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
    ApiError::Invalid(violation.into())
}

fn between<'t>(text: &'t str, before: &str, after: &str) -> Option<&'t str> {
    let rest = text.strip_prefix(before)?;
    rest.rsplit_once(after).map(|(name, _)| name)
}

/// Serde's words in those of JSON.
fn in_words(text: &str) -> String {
    let told = text.strip_prefix("invalid type: ").or_else(|| text.strip_prefix("invalid value: "));
    let Some((found, expected)) = told.and_then(|told| told.rsplit_once(", expected ")) else {
        // What is read as one of several, which serde does not name.
        return "must be a number or a text".to_owned();
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

/// Tells null, which is a wish, from a field that was left out.
pub(crate) fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Refuses what Postgres cannot keep in JSON, at the place where it stands.
pub(crate) fn storable(pointer: &str, fields: &Map<String, Value>) -> std::result::Result<(), Violation> {
    fields.iter().try_for_each(|(name, value)| {
        let place = format!("{pointer}/{}", escaped(name));
        if name.contains('\0') { Err(nul(&place)) } else { storable_value(&place, value) }
    })
}

fn storable_value(pointer: &str, value: &Value) -> std::result::Result<(), Violation> {
    match value {
        Value::String(text) if text.contains('\0') => Err(nul(pointer)),
        Value::Array(items) => {
            items.iter().enumerate().try_for_each(|(index, item)| storable_value(&format!("{pointer}/{index}"), item))
        }
        Value::Object(fields) => storable(pointer, fields),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

fn nul(place: &str) -> Violation {
    Violation::new(place, "nul_character", "must not contain the character U+0000: remove it")
}

/// A field's name within a JSON pointer (RFC 6901).
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use actix_web::error::PayloadError;
    use actix_web::web::Bytes;
    use futures_util::stream;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_end_is_given_up() {
        let start = stream::iter([Ok::<_, PayloadError>(Bytes::from_static(b"{"))]);
        let payload = Payload::Stream { payload: start.chain(stream::pending()).boxed_local() };
        assert!(matches!(read(payload).await, Err(ApiError::TooSlow)));
    }
}
