//! JSON bodies, read strictly: the right content type, the limit, every fault with its field.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::BytesMut;
use actix_web::{FromRequest, HttpRequest};
use futures_util::StreamExt;
use kos_model::Violation;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::problem::{ApiError, Result};

/// Largest body, in bytes.
pub(crate) const MAX_BODY: usize = 1 << 20;

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

async fn read(mut payload: Payload) -> Result<BytesMut> {
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

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    // Serde would read an array as an object's fields in their order.
    if bytes.trim_ascii_start().starts_with(b"[") {
        let detail = "must be a JSON object, {…}, and not an array";
        return Err(ApiError::Malformed(Violation::new("", "wrong_type", detail)));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let pointer = pointer(&error.path().to_string());
        fault(&pointer, error.inner())
    })?;
    reader.end().map_err(|error| fault("", &error))?;
    Ok(value)
}

/// `events[1].name` as the JSON pointer `/events/1/name`.
fn pointer(path: &str) -> String {
    if path == "." {
        return String::new();
    }
    format!("/{}", path.replace(['.', '['], "/").replace(']', "").trim_start_matches('/'))
}

/// Names the field even where serde names only the object around it.
fn fault(pointer: &str, error: &serde_json::Error) -> ApiError {
    let text = error.to_string();
    let named = text.split('`').nth(1).unwrap_or_default();
    if error.is_syntax() || error.is_eof() {
        return ApiError::Malformed(Violation::new(pointer, "invalid_json", format!("this is no JSON: {text}")));
    }
    let violation = if text.starts_with("missing field") {
        Violation::new(format!("{pointer}/{named}"), "missing", "is required: add it")
    } else if text.starts_with("unknown field") {
        let place =
            if pointer.ends_with(&format!("/{named}")) { pointer.to_owned() } else { format!("{pointer}/{named}") };
        Violation::new(place, "unknown_field", format!("is not known here: remove it ({})", known(&text)))
    } else if text.starts_with("duplicate field") {
        Violation::new(format!("{pointer}/{named}"), "duplicate_field", "is given twice: keep one")
    } else {
        Violation::new(pointer, "wrong_type", text)
    };
    ApiError::Invalid(violation.into())
}

/// The part of serde's message that lists the fields that do exist.
fn known(text: &str) -> &str {
    text.split_once(", ").map_or("no fields are", |(_, rest)| rest.split(" at line").next().unwrap_or(rest))
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
