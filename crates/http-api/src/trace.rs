//! The outermost layer: a request's id, its line in the log, its metrics, and the last word on errors.

use std::time::Instant;

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use actix_web::middleware::Next;
use actix_web::{Error, HttpRequest, HttpResponse};
use kos_repository::Chain;
use tracing::Instrument;
use uuid::Uuid;

use crate::problem::ApiError;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Wraps every request. The request itself must not be cloned here: routing wants it for itself.
pub(crate) async fn traced(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody>>, Error> {
    let started = Instant::now();
    let id = request_id(request.request());
    let span = tracing::info_span!("request", id = %id);
    let response = next.call(request).instrument(span.clone()).await?;
    let _entered = span.enter();
    let error = error_of(response.response());
    let mut response = match &error {
        Some(error) => told(response.into_parts().0, &id, error),
        None => response.map_into_left_body(),
    };
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, value);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    log(&response, error.as_ref(), started);
    Ok(response)
}

/// The error that a response stands for: ours, one that actix raised, or one that something between us
/// and the handler told in words of its own.
fn error_of<B>(response: &HttpResponse<B>) -> Option<ApiError> {
    if let Some(error) = response.error() {
        return Some(as_api_error(error));
    }
    let status = response.status();
    let is_json = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().ends_with(b"json"));
    let is_error = status.is_client_error() || status.is_server_error();
    (is_error && !is_json)
        .then(|| ApiError::Other(status, status.canonical_reason().unwrap_or_default().to_lowercase()))
}

/// What the caller calls his request, if that is a tame name; an id of ours otherwise.
fn request_id(request: &HttpRequest) -> String {
    let tame = |text: &&str| {
        (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    let theirs = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(tame);
    theirs.map_or_else(new_request_id, ToOwned::to_owned)
}

#[expect(clippy::disallowed_methods, reason = "a request's id is no entity's: it lives in the log alone")]
fn new_request_id() -> String {
    Uuid::now_v7().to_string()
}

fn as_api_error(error: &Error) -> ApiError {
    error.as_error::<ApiError>().cloned().unwrap_or_else(|| {
        let status = error.as_response_error().status_code();
        ApiError::Other(status, error.to_string())
    })
}

fn told<B>(request: HttpRequest, id: &str, error: &ApiError) -> ServiceResponse<EitherBody<B>> {
    let response = error.response(request.path(), id);
    ServiceResponse::new(request, response).map_into_right_body()
}

/// One line a request that went wrong, and with `LOG=kos_http_api=debug` one each. The query string stays out,
/// people put secrets there.
fn log<B>(response: &ServiceResponse<B>, error: Option<&ApiError>, started: Instant) {
    let request = response.request();
    let status = response.status().as_u16();
    let elapsed = started.elapsed();
    let route = request.match_pattern().unwrap_or_else(|| "unmatched".to_owned());
    let method = known(request.method());
    metrics::counter!("kos_http_requests_total", "method" => method, "route" => route.clone(),
        "status" => status.to_string())
    .increment(1);
    metrics::histogram!("kos_http_request_seconds", "route" => route).record(elapsed.as_secs_f64());
    let duration_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    let path = request.path();
    let cause = error.and_then(ApiError::cause).map(|cause| Chain(cause).to_string());
    match (status, cause) {
        (503, cause) => tracing::warn!(status, duration_ms, cause, "{method} {path}"),
        (500.., cause) => tracing::error!(status, duration_ms, cause, "{method} {path}"),
        (400..=499, _) => tracing::info!(status, duration_ms, "{method} {path}"),
        _ => tracing::debug!(status, duration_ms, "{method} {path}"),
    }
}

/// A caller may invent as many methods as he likes; they share one name.
fn known(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}
