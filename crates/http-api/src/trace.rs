//! The outermost layer: a request's id, its line in the log, its metrics, and the last word on errors.

use std::time::Instant;

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use actix_web::middleware::Next;
use actix_web::{Error, HttpRequest};
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
    let mut response = match response.response().error().map(as_api_error) {
        Some(error) => told(response.into_parts().0, &id, &error),
        None => response.map_into_left_body(),
    };
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, value);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    log(&response, started);
    Ok(response)
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
    if let Some(cause) = error.cause() {
        let text = Chain(cause).to_string();
        if matches!(error, ApiError::Unavailable(_)) {
            tracing::warn!(cause = text, "the database is not available");
        } else {
            tracing::error!(cause = text, "the request failed");
        }
    }
    let response = error.response(request.path(), id);
    ServiceResponse::new(request, response).map_into_right_body()
}

/// One line a request that went wrong, and with `LOG=kos_http_api=debug` one each. The query string stays out,
/// people put secrets there.
fn log<B>(response: &ServiceResponse<B>, started: Instant) {
    let request = response.request();
    let status = response.status().as_u16();
    let elapsed = started.elapsed();
    let route = request.match_pattern().unwrap_or_else(|| "unmatched".to_owned());
    let method = request.method().as_str();
    metrics::counter!("kos_http_requests_total", "method" => method.to_owned(), "route" => route.clone(),
        "status" => status.to_string())
    .increment(1);
    metrics::histogram!("kos_http_request_seconds", "route" => route).record(elapsed.as_secs_f64());
    let duration_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    let path = request.path();
    match status {
        500.. => tracing::warn!(status, duration_ms, "{method} {path}"),
        400..=499 => tracing::info!(status, duration_ms, "{method} {path}"),
        _ => tracing::debug!(status, duration_ms, "{method} {path}"),
    }
}
