//! Errors as the API tells them: RFC 9457 problem+json, always, with the field and the remedy.
//!
//! Handlers return [`ApiError`]; the outermost middleware turns it, and every error that actix raises
//! by itself, into a [`Problem`]. The cause of a 5xx goes to the log under the request's id, never to
//! the caller.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use kos_model::json::Fault;
use kos_model::{Violation, Violations};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::clash::Clash;

/// The result of a handler.
pub type Result<T> = std::result::Result<T, ApiError>;

/// Why a request was not carried out.
#[derive(Clone, Debug)]
pub enum ApiError {
    /// The body is no JSON, or the request is malformed in another way.
    Malformed(Violation),
    /// The body was understood and breaks rules.
    Invalid(Violations),
    /// No key, or a wrong one.
    Unauthorized(&'static str),
    /// There is no such thing.
    NotFound(String),
    /// The path exists; the method does not. Names the methods that do.
    MethodNotAllowed(String),
    /// The body is larger than the limit, in bytes.
    TooLarge(usize),
    /// The body is not what the endpoint reads; names the type that is.
    UnsupportedMediaType(&'static str),
    /// The body is packed; names how.
    UnsupportedEncoding(String),
    /// The thing changed since the caller read it.
    PreconditionFailed,
    /// As things stand this cannot be done.
    Conflict(String),
    /// The same, for a reason that programs can read.
    Clash(Box<Clash>),
    /// The database is away or too busy.
    Unavailable(Arc<dyn std::error::Error + Send + Sync>),
    /// There is more to do than there are hands.
    Busy,
    /// Others write the same rows, again and again or for too long.
    Contended,
    /// A search took longer than it may.
    SearchTooLong,
    /// The body, or more of it, did not arrive in time.
    TooSlow(Duration),
    /// A fault of ours.
    Internal(Arc<dyn std::error::Error + Send + Sync>),
    /// An error that actix raised by itself.
    Other(StatusCode, String),
}

/// An error's body, as RFC 9457 has it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// The kind of problem, stable.
    #[serde(rename = "type")]
    #[schema(example = "urn:knowledge-os:problem:validation_failed")]
    kind: String,
    /// The kind of problem, in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What went wrong this time, and what to do about it.
    detail: String,
    /// The path of the request.
    instance: String,
    /// The kind of problem, for programs.
    #[schema(example = "validation_failed")]
    code: &'static str,
    /// Names this request in the service's log.
    request_id: String,
    /// Every broken rule, with its field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
    /// What else programs need to know, depending on the kind: `existing_id` (`name_taken`), `used_by` (`in_use`),
    /// `status` and `allowed` (`transition_refused`), `cycle` (`cycle`).
    #[serde(flatten)]
    #[schema(value_type = Object)]
    members: Map<String, Value>,
}

/// One broken rule.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FieldError {
    /// The field, as a JSON pointer.
    #[schema(example = "/confidence_score")]
    pointer: String,
    /// The rule.
    #[schema(example = "out_of_range")]
    code: &'static str,
    /// What to do about it.
    detail: String,
}

impl ApiError {
    /// The caller's fault or ours, as HTTP has it.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType(_) | Self::UnsupportedEncoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            Self::Conflict(_) | Self::Clash(_) => StatusCode::CONFLICT,
            Self::Unavailable(_) | Self::Busy | Self::Contended | Self::SearchTooLong => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Other(status, _) => *status,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "bad_request",
            Self::Other(status, _) if *status == StatusCode::NOT_FOUND => "not_found",
            Self::Other(status, _) if *status == StatusCode::NOT_ACCEPTABLE => "not_acceptable",
            Self::Other(..) => "bad_request",
            Self::Invalid(_) => "validation_failed",
            Self::Unauthorized(_) => "unauthorized",
            Self::NotFound(_) => "not_found",
            Self::MethodNotAllowed(_) => "method_not_allowed",
            Self::TooLarge(_) => "too_large",
            Self::UnsupportedMediaType(_) => "unsupported_media_type",
            Self::UnsupportedEncoding(_) => "unsupported_content_encoding",
            Self::PreconditionFailed => "precondition_failed",
            Self::Conflict(_) => "conflict",
            Self::Clash(clash) => clash.code,
            Self::Unavailable(_) => "unavailable",
            Self::Busy => "busy",
            Self::Contended => "contended",
            Self::SearchTooLong => "search_too_long",
            Self::TooSlow(_) => "too_slow",
            Self::Internal(_) => "internal",
        }
    }

    fn title(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "The request cannot be read",
            Self::Invalid(_) => "The request breaks rules",
            Self::Unauthorized(_) => "A valid API key is needed",
            Self::NotFound(_) => "There is no such thing",
            Self::MethodNotAllowed(_) => "The method is not allowed here",
            Self::TooLarge(_) => "The body is too large",
            Self::UnsupportedMediaType(_) => "The body must be JSON",
            Self::UnsupportedEncoding(_) => "The body must not be compressed",
            Self::PreconditionFailed => "It was changed in the meantime",
            Self::Conflict(_) | Self::Clash(_) => "As things stand this cannot be done",
            Self::Unavailable(_) => "The database is not available",
            Self::Busy => "The service is too busy",
            Self::Contended => "Others are writing the same",
            Self::SearchTooLong => "The search took too long",
            Self::TooSlow(_) => "The body did not arrive in time",
            Self::Internal(_) => "The service failed",
            Self::Other(status, _) => status.canonical_reason().unwrap_or("The request failed"),
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Malformed(violation) if violation.pointer.is_empty() => violation.detail.clone(),
            Self::Malformed(violation) => violation.to_string(),
            Self::Invalid(violations) => violations.to_string(),
            Self::Unauthorized(detail) => (*detail).to_owned(),
            Self::NotFound(detail) | Self::Conflict(detail) | Self::Other(_, detail) => detail.clone(),
            Self::Clash(clash) => clash.detail.clone(),
            Self::MethodNotAllowed(allowed) => format!("use {allowed}"),
            Self::TooLarge(limit) => format!("at most {limit} bytes: send less, or split it"),
            Self::UnsupportedMediaType(kind) => format!("set Content-Type: {kind}"),
            Self::UnsupportedEncoding(encoding) => {
                let encoding: String = encoding.chars().take(40).collect();
                format!("Content-Encoding: {encoding} is not read here: send it uncompressed, without that header")
            }
            Self::PreconditionFailed => "If-Match names an older version: read it again, then repeat".to_owned(),
            Self::Unavailable(_) => {
                "try again in a moment; a write that was under way may have been stored all the same".to_owned()
            }
            Self::Busy => "nothing was done: try again in a moment, with fewer requests at once".to_owned(),
            Self::Contended => "it was not done, or of many items only for some: try again in a moment".to_owned(),
            Self::SearchTooLong => {
                "it was given up after 2 s: ask with rarer words, or narrow it by domain, tags or time".to_owned()
            }
            Self::TooSlow(limit) => format!(
                "nothing came for too long: send the body within {} s, and without long pauses",
                limit.as_secs()
            ),
            Self::Internal(_) => "the operator finds the cause in the log under this request_id".to_owned(),
        }
    }

    fn errors(&self) -> Vec<FieldError> {
        field_errors(self.violations())
    }

    /// The broken rules that it tells of.
    pub(crate) fn violations(&self) -> &[Violation] {
        match self {
            Self::Malformed(violation) => std::slice::from_ref(violation),
            Self::Invalid(violations) => violations.as_slice(),
            Self::Clash(clash) => clash.errors.as_slice(),
            Self::Unauthorized(_)
            | Self::NotFound(_)
            | Self::MethodNotAllowed(_)
            | Self::TooLarge(_)
            | Self::UnsupportedMediaType(_)
            | Self::UnsupportedEncoding(_)
            | Self::PreconditionFailed
            | Self::Conflict(_)
            | Self::Unavailable(_)
            | Self::Busy
            | Self::Contended
            | Self::SearchTooLong
            | Self::TooSlow(_)
            | Self::Internal(_)
            | Self::Other(..) => &[],
        }
    }

    fn members(&self) -> Map<String, Value> {
        if let Self::Clash(clash) = self { clash.members.clone() } else { Map::new() }
    }

    /// The answer that tells of this error.
    pub(crate) fn response(&self, instance: &str, request_id: &str) -> HttpResponse {
        let problem = Problem {
            kind: format!("urn:knowledge-os:problem:{}", self.code()),
            title: self.title(),
            status: self.status().as_u16(),
            detail: self.detail(),
            instance: instance.to_owned(),
            code: self.code(),
            request_id: request_id.to_owned(),
            errors: self.errors(),
            members: self.members(),
        };
        let mut response = HttpResponse::build(self.status());
        response.content_type("application/problem+json");
        match self {
            Self::Unauthorized(_) => {
                response.insert_header((WWW_AUTHENTICATE, "Bearer realm=\"knowledge-os\""));
            }
            Self::Unavailable(_) | Self::Busy | Self::Contended | Self::SearchTooLong => {
                response.insert_header((RETRY_AFTER, "1"));
            }
            // What is left of the body would be read as the next request.
            Self::TooSlow(_) => {
                response.force_close();
            }
            Self::MethodNotAllowed(allowed) => {
                if let Ok(allowed) = HeaderValue::from_str(allowed) {
                    response.insert_header((ALLOW, allowed));
                }
            }
            Self::Malformed(_)
            | Self::Invalid(_)
            | Self::NotFound(_)
            | Self::TooLarge(_)
            | Self::UnsupportedMediaType(_)
            | Self::UnsupportedEncoding(_)
            | Self::PreconditionFailed
            | Self::Conflict(_)
            | Self::Clash(_)
            | Self::Internal(_)
            | Self::Other(..) => {}
        }
        response.json(problem)
    }

    /// The cause that belongs into the log.
    pub(crate) fn cause(&self) -> Option<&(dyn std::error::Error + Send + Sync)> {
        match self {
            Self::Unavailable(cause) | Self::Internal(cause) => Some(cause.as_ref()),
            Self::Malformed(_)
            | Self::Invalid(_)
            | Self::Unauthorized(_)
            | Self::NotFound(_)
            | Self::MethodNotAllowed(_)
            | Self::TooLarge(_)
            | Self::UnsupportedMediaType(_)
            | Self::UnsupportedEncoding(_)
            | Self::PreconditionFailed
            | Self::Conflict(_)
            | Self::Clash(_)
            | Self::Busy
            | Self::Contended
            | Self::SearchTooLong
            | Self::TooSlow(_)
            | Self::Other(..) => None,
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail())
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status()
    }

    /// Replaced by the outermost middleware, which knows the request.
    fn error_response(&self) -> HttpResponse {
        self.response("", "")
    }
}

impl From<kos_repository::Error> for ApiError {
    fn from(error: kos_repository::Error) -> Self {
        Arc::new(error).into()
    }
}

impl From<Arc<kos_repository::Error>> for ApiError {
    fn from(error: Arc<kos_repository::Error>) -> Self {
        use kos_repository::Error;
        match &*error {
            Error::Stale => Self::PreconditionFailed,
            Error::Busy => Self::Busy,
            Error::TookTooLong => Self::SearchTooLong,
            Error::Duplicate { id } => {
                let remedy = "change or delete that one, or write another text";
                Self::Conflict(format!("the same text is stored already, at /knowledge/{id}: {remedy}"))
            }
            Error::Dangling(faults) => Self::Invalid(faults.clone()),
            Error::Taken { field, by } => Clash::taken(field, *by).into(),
            Error::InUse(users) => Clash::in_use(users).into(),
            Error::Cycle(cycle) => Clash::cycle(cycle).into(),
            Error::Transition { from, to } => Clash::transition(*from, *to).into(),
            Error::KeyBusy => Clash::key_busy().into(),
            Error::KeyReused => {
                let detail = "was used for another body within the last day: use a new key for a new request";
                Violation::new("Idempotency-Key", "key_reused", detail).into()
            }
            Error::Unavailable(_) => Self::Unavailable(error),
            Error::Contended | Error::Held => Self::Contended,
            Error::Query(_)
            | Error::Inconsistent { .. }
            | Error::Sealed(_)
            | Error::Migrate(_)
            | Error::Refused(_)
            | Error::Url(_) => Self::Internal(error),
        }
    }
}

impl From<kos_delivery::Error> for ApiError {
    fn from(error: kos_delivery::Error) -> Self {
        match error {
            kos_delivery::Error::Ingest(cause) => cause.into(),
            other @ (kos_delivery::Error::Begin(_) | kos_delivery::Error::Claim(_) | kos_delivery::Error::Stopped) => {
                Self::Unavailable(Arc::new(other))
            }
        }
    }
}

impl From<Clash> for ApiError {
    fn from(clash: Clash) -> Self {
        Self::Clash(Box::new(clash))
    }
}

impl From<Fault> for ApiError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Malformed(violation) => Self::Malformed(violation),
            Fault::Invalid(whole) if whole.pointer.is_empty() => {
                Violation { detail: format!("body {}", whole.detail), ..whole }.into()
            }
            Fault::Invalid(violation) => violation.into(),
        }
    }
}

impl From<Violations> for ApiError {
    fn from(violations: Violations) -> Self {
        Self::Invalid(violations)
    }
}

impl From<Violation> for ApiError {
    fn from(violation: Violation) -> Self {
        Self::Invalid(violation.into())
    }
}

/// Broken rules as callers are told of them.
pub(crate) fn field_errors(violations: &[Violation]) -> Vec<FieldError> {
    let view = |violation: &Violation| FieldError {
        pointer: violation.pointer.clone(),
        code: violation.code,
        detail: violation.detail.clone(),
    };
    violations.iter().map(view).collect()
}

/// Where no route leads.
pub(crate) async fn not_found() -> Result<HttpResponse> {
    Err(ApiError::NotFound("no such path: /docs lists those that exist".to_owned()))
}
