//! Who may call: whoever presents the API key, in `X-API-Key` or as a bearer token.

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use actix_web::middleware::Next;
use actix_web::{Error, web};

use crate::problem::ApiError;
use crate::state::State;

const KEY_HEADER: &str = "x-api-key";

/// Lets a request pass that presents the key.
pub(crate) async fn guarded(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody>>, Error> {
    let admitted = request
        .app_data::<web::Data<State>>()
        .is_some_and(|state| presented(request.headers()).is_some_and(|key| state.api_key.admits(key)));
    if admitted {
        Ok(next.call(request).await?.map_into_left_body())
    } else {
        let refusal = refusal(request.headers());
        Ok(request.error_response(refusal).map_into_right_body())
    }
}

fn presented(headers: &HeaderMap) -> Option<&str> {
    let key = headers.get(KEY_HEADER).and_then(|value| value.to_str().ok());
    key.or_else(|| bearer(headers))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

fn refusal(headers: &HeaderMap) -> ApiError {
    ApiError::Unauthorized(match presented(headers) {
        Some(_) => "the API key is wrong: compare it with API_KEY, or with the file `api-key` in DATA_DIR",
        None => "send the API key in the header X-API-Key (or as Authorization: Bearer …)",
    })
}
