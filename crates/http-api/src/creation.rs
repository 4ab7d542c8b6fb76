//! Requests that create something: each is carried out once, however often its caller sends it under the same
//! `Idempotency-Key`.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, ETAG, LOCATION};
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use kos_model::Violation;
use kos_repository::{Answer, Create, Created, Idempotency};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use utoipa::IntoParams;

use crate::body::{MAX_BODY, is_json, parse, read};
use crate::path::etag;
use crate::problem::{ApiError, Result};
use crate::state::State;

const KEY_HEADER: &str = "idempotency-key";
/// Says that nothing was created this time.
const REPLAYED_HEADER: &str = "idempotency-replayed";
/// Longest key, in characters.
const MAX_KEY: usize = 255;

/// A JSON body of at most `MAX` bytes that tells what to create, and the key that its caller gave to the request.
pub(crate) struct Creation<T, const MAX: usize = MAX_BODY> {
    pub(crate) body: T,
    pub(crate) idempotency: Option<Idempotency>,
}

/// The key, as the description of the API has it.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it is read by hand")]
pub(crate) struct IdempotencyKey {
    /// Your name for this request, up to 255 visible ASCII characters: sent again within a day, it is answered the same
    /// and nothing is created twice
    #[param(rename = "Idempotency-Key")]
    key: Option<String>,
}

impl<T: DeserializeOwned + 'static, const MAX: usize> FromRequest for Creation<T, MAX> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let readable = is_json(request);
        let (key, route) = (key(request), request.path().to_owned());
        let payload = payload.take();
        Box::pin(async move {
            readable?;
            let key = key?;
            let bytes = read(payload, MAX).await?;
            let body = parse(&bytes)?;
            let named = |key| Idempotency { key, route, body_hash: Sha256::digest(&bytes).to_vec() };
            Ok(Self { body, idempotency: key.map(named) })
        })
    }
}

/// The caller's key, when there is one.
fn key(request: &HttpRequest) -> Result<Option<String>> {
    let Some(given) = request.headers().get(KEY_HEADER) else { return Ok(None) };
    let text = given.to_str().unwrap_or_default().trim().trim_matches('"');
    if (1..=MAX_KEY).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(Some(text.to_owned()));
    }
    let detail = "must be 1 to 255 visible ASCII characters, such as a UUID";
    Err(ApiError::Malformed(Violation::new("Idempotency-Key", "invalid_key", detail)))
}

/// The answer that tells what became of each of many things.
pub(crate) fn judged(status: StatusCode, view: &impl Serialize) -> Answer {
    let headers = vec![(CONTENT_TYPE.to_string(), "application/json".to_owned())];
    // Views are plain data and always serialise.
    let body = serde_json::to_string(view).unwrap_or_default();
    Answer { status: status.as_u16(), headers, body }
}

/// The answer that tells of something new.
pub(crate) fn created(location: String, version: Option<i32>, view: &impl Serialize) -> Answer {
    answered(StatusCode::CREATED, location, version, view)
}

/// The answer that tells of something, new or not.
pub(crate) fn answered(status: StatusCode, location: String, version: Option<i32>, view: &impl Serialize) -> Answer {
    let mut answer = judged(status, view);
    answer.headers.push((LOCATION.to_string(), location));
    answer.headers.extend(version.map(|version| (ETAG.to_string(), etag(version))));
    answer
}

impl State {
    /// Creates something, unless it was created before under the same key; either way the answer is the one that
    /// `render` made of it when it was stored.
    pub(crate) async fn create<N: Create + Send + 'static>(
        &self,
        new: N,
        idempotency: Option<Idempotency>,
        render: impl Fn(N::Record) -> Answer + Send + Sync + 'static,
    ) -> Result<HttpResponse> {
        let (repository, intake) = (self.repository.clone(), self.engine.intake());
        let work = async move {
            let mut created = repository.create(&new, intake.terms(), idempotency.as_ref(), &render).await?;
            intake.take_all(std::mem::take(&mut created.emitted));
            Ok(created)
        };
        self.run(work).await.map(response)
    }
}

fn response(created: Created) -> HttpResponse {
    let status = StatusCode::from_u16(created.answer.status).unwrap_or(StatusCode::CREATED);
    let mut response = HttpResponse::build(status);
    for (name, value) in created.answer.headers {
        response.insert_header((name, value));
    }
    if created.is_replayed {
        response.insert_header((REPLAYED_HEADER, "true"));
    }
    response.body(created.answer.body)
}
