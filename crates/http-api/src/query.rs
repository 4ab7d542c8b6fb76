//! Query strings, read strictly: every fault with its parameter.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
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

/// Serde tells of unknown and repeated parameters by their names.
fn fault(text: &str) -> ApiError {
    let name = text.split('`').nth(1).unwrap_or_default();
    let violation = if text.contains("unknown field") {
        let known = text.split_once("expected ").map_or("none", |(_, rest)| rest);
        Violation::new(name, "unknown_parameter", format!("is not known here: remove it (there are {known})"))
    } else if text.contains("duplicate field") {
        Violation::new(name, "duplicate_parameter", "is given twice: keep one")
    } else {
        Violation::new(name, "invalid_parameter", "cannot be read: encode it as in a form")
    };
    ApiError::Malformed(violation)
}
