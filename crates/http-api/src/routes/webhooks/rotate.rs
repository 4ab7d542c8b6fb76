//! POST /webhooks/{id}/secret/rotate

use std::time::Duration;

use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpResponse, web};
use kos_model::WebhookId;
use kos_webhooks::custom::{KeyVersion, Rotation};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{address_of, no_such, stored_target};
use crate::body::OptionalBody;
use crate::path::Id;
use crate::problem::Result;
use crate::state::State;

/// A day, as is usual among senders.
const OVERLAP_SECONDS: u32 = 24 * 60 * 60;

/// Which key is to be changed, and how.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RotateSecret {
    /// `v1`, the shared secret, or `v1a`, the key pair.
    #[schema(value_type = String, example = "v1")]
    version: KeyVersion,
    /// The new key, `whsec_…` or `whsk_…`; one is made when not given.
    key: Option<String>,
    /// How long the old keys sign as well, in seconds, up to 604,800; 0 ends them at once.
    #[schema(minimum = 0, maximum = 604_800)]
    overlap_seconds: u32,
}

impl Default for RotateSecret {
    fn default() -> Self {
        Self { version: KeyVersion::default(), key: None, overlap_seconds: OVERLAP_SECONDS }
    }
}

/// The new key.
#[derive(Serialize, ToSchema)]
pub(crate) struct RotatedSecret {
    /// `v1`: the new secret. It is shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    /// `v1a`: the new public key. No secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
    /// Every key that signs now, with its end.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    details: Map<String, Value>,
}

/// Changes a key that a custom webhook's messages are signed with.
#[utoipa::path(
    post, path = "/webhooks/{id}/secret/rotate", tag = "webhooks", request_body = Option<RotateSecret>,
    params(("id" = String, Path, format = Uuid)),
    responses(
        (status = 200, description = "The new key signs, and the old ones as long as they may", body = RotatedSecret),
        (status = 404, description = "There is none", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 412, description = "It was changed in the meantime", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 422, description = "The body breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(
    state: web::Data<State>,
    id: Id<WebhookId>,
    body: OptionalBody<RotateSecret>,
) -> Result<HttpResponse> {
    let RotateSecret { version, key, overlap_seconds } = body.0;
    let rotation = Rotation { version, key, overlap: Duration::from_secs(overlap_seconds.into()) };
    let (repository, id, now) = (state.repository.clone(), id.0, (state.now)());
    let target = state
        .run(async move {
            let record = repository.webhook_get(id).await?.ok_or_else(|| no_such(id))?;
            let rotated = stored_target(&repository, id).await?.rotated(rotation, now)?;
            // Of two who rotate at once the second is told, so that no key is lost unseen.
            repository.webhook_rekey(id, record.version, &address_of(&rotated)).await?;
            Ok(rotated)
        })
        .await?;
    let secret = target.secret().filter(|_| version == KeyVersion::V1).map(|secret| secret.expose_secret().to_owned());
    let public_key = target.public_key().filter(|_| version == KeyVersion::V1a);
    let rotated = RotatedSecret { secret, public_key, details: target.details() };
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(rotated))
}
