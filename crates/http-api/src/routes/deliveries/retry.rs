//! POST /deliveries/{id}/retry

use actix_web::{HttpResponse, web};
use kos_model::DeliveryId;
use kos_repository::Retried;
use serde::Serialize;
use utoipa::ToSchema;

use super::{being_sent, no_such};
use crate::path::Id;
use crate::problem::{ApiError, Result};
use crate::state::State;

/// A delivery that is due now.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RetriedDelivery {
    /// Its id: the same, or a new one when the old one had succeeded.
    #[schema(value_type = String, format = Uuid)]
    id: DeliveryId,
}

/// Makes a delivery due now: one that waits, without its wait; one that ended without success, with a new series of
/// attempts; one that succeeded, once more. The receiver sees the same `webhook-id`.
#[utoipa::path(
    post, path = "/deliveries/{id}/retry", tag = "deliveries",
    params(("id" = String, Path, format = Uuid)),
    responses(
        (status = 202, description = "It is due", body = RetriedDelivery),
        (status = 404, description = "There is none", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 409, description = "It is being sent, or its event or its webhook is no more", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, id: Id<DeliveryId>) -> Result<HttpResponse> {
    let (repository, engine, id) = (state.repository.clone(), state.engine.clone(), id.0);
    let retried = state
        .run(async move {
            let mut retried = repository.delivery_retry(id).await?;
            // It may only wait behind others.
            if retried == Retried::BeingSent && engine.give_up_one(id).await {
                retried = repository.delivery_retry(id).await?;
            }
            if matches!(retried, Retried::Due(_)) {
                engine.wake();
            }
            Ok(retried)
        })
        .await?;
    match retried {
        Retried::Due(id) => Ok(HttpResponse::Accepted().json(RetriedDelivery { id })),
        Retried::BeingSent => Err(being_sent()),
        Retried::EventGone => {
            Err(ApiError::Conflict("its event is no longer kept: there is nothing to send".to_owned()))
        }
        Retried::WebhookGone => {
            Err(ApiError::Conflict("its webhook was removed: there is nobody to send to".to_owned()))
        }
        Retried::NotThere => Err(no_such(id)),
    }
}
