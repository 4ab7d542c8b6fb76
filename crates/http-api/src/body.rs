//! JSON bodies, read strictly: the right content type, the limit, every fault with its field.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use actix_web::web::BytesMut;
use actix_web::{FromRequest, HttpRequest};
use futures_util::StreamExt;
use kos_model::{Violation, Violations, json};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use tokio::time::timeout;

use crate::problem::{ApiError, Result};

pub(crate) use kos_model::json::storable;

pub(crate) const JSON: &str = "application/json";

/// Largest body, in bytes: the longest text there may be, with every letter escaped.
pub(crate) const MAX_BODY: usize = 2 << 20;
/// How long a body may take to arrive. Longer ones would also hold up the service's stop.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);
/// The same for those that may be larger than [`MAX_BODY`].
const LARGE_DEADLINE: Duration = Duration::from_secs(60);

/// A JSON body of at most `MAX` bytes.
pub(crate) struct Body<T, const MAX: usize = MAX_BODY>(pub(crate) T);

impl<T: DeserializeOwned + 'static, const MAX: usize> FromRequest for Body<T, MAX> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let readable = is_json(request);
        let payload = payload.take();
        Box::pin(async move {
            readable?;
            parse(&read(payload, MAX).await?).map(Self)
        })
    }
}

/// A JSON body that may be left out.
pub(crate) struct OptionalBody<T>(pub(crate) T);

impl<T: DeserializeOwned + Default + 'static> FromRequest for OptionalBody<T> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let readable = is_json(request);
        let payload = payload.take();
        Box::pin(async move {
            let bytes = read(payload, MAX_BODY).await?;
            if bytes.is_empty() {
                return Ok(Self(T::default()));
            }
            readable?;
            parse(&bytes).map(Self)
        })
    }
}

/// Whether the body is said to be JSON.
pub(crate) fn is_json(request: &HttpRequest) -> Result<()> {
    is_of(request, JSON, |kind| kind == JSON || (kind.starts_with("application/") && kind.ends_with("+json")))
}

/// Whether the body is said to be as it is, and of a type that is taken; `wanted` is what to send otherwise. Nothing
/// is unpacked: a few bytes could become many.
pub(crate) fn is_of(request: &HttpRequest, wanted: &'static str, takes: impl Fn(&str) -> bool) -> Result<()> {
    let header = |name| request.headers().get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    if let Some(encoding) = header(CONTENT_ENCODING).filter(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        return Err(ApiError::UnsupportedEncoding(encoding));
    }
    let kind = header(CONTENT_TYPE).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if takes(&essence) { Ok(()) } else { Err(ApiError::UnsupportedMediaType(wanted)) }
}

pub(crate) async fn read(payload: Payload, max: usize) -> Result<BytesMut> {
    let deadline = if max > MAX_BODY { LARGE_DEADLINE } else { DEADLINE };
    timeout(deadline, read_whole(payload, max)).await.unwrap_or(Err(ApiError::TooSlow(deadline)))
}

async fn read_whole(mut payload: Payload, max: usize) -> Result<BytesMut> {
    let mut bytes = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| cut(&error))?;
        if bytes.len() + chunk.len() > max {
            return Err(ApiError::TooLarge(max));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// One of several things in a body, read by itself, so that a fault in it is its own.
pub(crate) fn item<T: DeserializeOwned>(raw: &RawValue) -> std::result::Result<T, Violations> {
    json::read(raw.get().as_bytes()).map_err(|fault| match fault {
        json::Fault::Malformed(violation) | json::Fault::Invalid(violation) => violation.into(),
    })
}

/// A body that ends before its end.
pub(crate) fn cut(error: &PayloadError) -> ApiError {
    ApiError::Malformed(Violation::new("", "incomplete", format!("the body did not arrive whole: {error}")))
}

pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    Ok(json::read(bytes)?)
}

/// Tells null, which is a wish, from a field that was left out.
pub(crate) fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use actix_web::web::Bytes;
    use futures_util::stream;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_end_is_given_up() {
        let start = stream::iter([Ok::<_, PayloadError>(Bytes::from_static(b"{"))]);
        let payload = Payload::Stream { payload: start.chain(stream::pending()).boxed_local() };
        assert!(matches!(read(payload, MAX_BODY).await, Err(ApiError::TooSlow(DEADLINE))));
    }
}
