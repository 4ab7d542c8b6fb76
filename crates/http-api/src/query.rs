//! Query strings, read strictly: every fault with its parameter.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use chrono::{DateTime, Datelike, Utc};
use kos_model::Violation;
use serde::de::DeserializeOwned;

use crate::problem::{ApiError, Result};

/// The parameters of a query string.
pub(crate) struct QueryString<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest for QueryString<T> {
    type Error = ApiError;
    type Future = Ready<Result<Self>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let read = actix_web::web::Query::<T>::from_query(request.query_string());
        ready(read.map(|query| Self(query.into_inner())).map_err(|error| fault(&error.to_string())))
    }
}

/// The parameters of a query string in which one may be given any number of times.
pub(crate) struct Repeating<T: Repeats> {
    pub(crate) query: T,
    pub(crate) repeated: Vec<String>,
}

/// Says which parameter that is.
pub(crate) trait Repeats: DeserializeOwned {
    const NAME: &'static str;
}

impl<T: Repeats> FromRequest for Repeating<T> {
    type Error = ApiError;
    type Future = Ready<Result<Self>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        ready(repeating(request.query_string()))
    }
}

fn repeating<T: Repeats>(text: &str) -> Result<Repeating<T>> {
    let (mut others, mut repeated) = (Vec::new(), Vec::new());
    for part in text.split('&') {
        let read = actix_web::web::Query::<Vec<(String, String)>>::from_query(part);
        match read.map(|pairs| pairs.into_inner().pop()).ok().flatten() {
            Some((name, value)) if name == T::NAME => repeated.push(value),
            _ => others.push(part),
        }
    }
    let query = actix_web::web::Query::<T>::from_query(&others.join("&"));
    query.map(|query| Repeating { query: query.into_inner(), repeated }).map_err(|error| fault(&error.to_string()))
}

/// A time in a query string.
pub(crate) fn time(name: &str, text: Option<String>) -> std::result::Result<Option<DateTime<Utc>>, Violation> {
    let read = |text: String| {
        let detail = "must be a time such as 2025-11-24T12:00:00Z: write a + in it as %2B";
        let parsed = DateTime::parse_from_rfc3339(&text).map(|time| time.to_utc());
        // What Postgres has no day for is in nobody's time.
        parsed
            .ok()
            .filter(|time| (1..=9999).contains(&time.year()))
            .ok_or_else(|| Violation::new(name, "invalid_time", detail))
    };
    text.map(read).transpose()
}

/// Yes or no in a query string.
pub(crate) fn flag(name: &str, text: Option<String>) -> std::result::Result<Option<bool>, Violation> {
    text.map(|text| text.parse().map_err(|_neither| Violation::new(name, "invalid_flag", "must be true or false")))
        .transpose()
}

/// Serde tells of unknown and repeated parameters by their names.
fn fault(text: &str) -> ApiError {
    let name = text.split('`').nth(1).unwrap_or_default();
    let violation = if text.contains("unknown field") {
        let known = text.split_once("expected ").map_or("none", |(_, rest)| rest.trim_start_matches("one of "));
        Violation::new(name, "unknown_parameter", format!("is not known here: remove it (known are {known})"))
    } else if text.contains("duplicate field") {
        Violation::new(name, "duplicate_parameter", "is given twice: keep one")
    } else {
        Violation::new(name, "invalid_parameter", "cannot be read: encode it as in a form")
    };
    ApiError::Malformed(violation)
}
