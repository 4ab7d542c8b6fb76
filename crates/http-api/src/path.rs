//! Ids in paths and versions in headers.

use std::future::{Ready, ready};
use std::str::FromStr;

use actix_web::dev::Payload;
use actix_web::http::header::IF_MATCH;
use actix_web::{FromRequest, HttpRequest};
use kos_model::Violation;

use crate::problem::{ApiError, Result};

/// The `{id}` of a path.
pub(crate) struct Id<T>(pub(crate) T);

impl<T: FromStr> FromRequest for Id<T> {
    type Error = ApiError;
    type Future = Ready<Result<Self>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let text = request.match_info().get("id").unwrap_or_default();
        let id = text.parse().map(Self).map_err(|_not_an_id| {
            let detail = "must be a UUID such as 0190b0d2-7b1c-7c3e-8f00-1234567890ab";
            ApiError::Malformed(Violation::new("id", "invalid_id", detail))
        });
        ready(id)
    }
}

/// The version that `If-Match` names, when it is there.
pub(crate) struct IfMatch(pub(crate) Option<i32>);

impl FromRequest for IfMatch {
    type Error = ApiError;
    type Future = Ready<Result<Self>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let given = request.headers().get(IF_MATCH).map(|value| value.to_str().unwrap_or_default().trim());
        let version = match given {
            None | Some("*") => Ok(Self(None)),
            Some(tag) => version(tag).map(|version| Self(Some(version))).ok_or_else(|| {
                let detail = "must be an ETag as this service gives it, such as \"v3\"";
                ApiError::Malformed(Violation::new("If-Match", "invalid_etag", detail))
            }),
        };
        ready(version)
    }
}

/// A proxy that compresses marks the tag as weak; the version is the same.
fn version(tag: &str) -> Option<i32> {
    let tag = tag.strip_prefix("W/").unwrap_or(tag);
    tag.strip_prefix("\"v")?.strip_suffix('"')?.parse().ok()
}

/// The ETag of a version.
pub(crate) fn etag(version: i32) -> String {
    format!("\"v{version}\"")
}
