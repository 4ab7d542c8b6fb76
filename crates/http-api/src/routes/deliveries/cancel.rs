//! POST /deliveries/{id}/cancel

use actix_web::{HttpResponse, web};
use kos_model::DeliveryId;
use kos_repository::Cancelled;

use super::{DeliveryView, being_sent, no_such};
use crate::path::Id;
use crate::problem::{ApiError, Result};
use crate::state::State;

/// Takes a delivery back that waits or is parked.
#[utoipa::path(
    post, path = "/deliveries/{id}/cancel", tag = "deliveries",
    params(("id" = String, Path, format = Uuid)),
    responses(
        (status = 200, description = "It will not be sent", body = DeliveryView),
        (status = 404, description = "There is none", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 409, description = "It is being sent, or has ended", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, id: Id<DeliveryId>) -> Result<HttpResponse> {
    let (repository, engine, id) = (state.repository.clone(), state.engine.clone(), id.0);
    let (cancelled, found) = state
        .run(async move {
            let mut cancelled = repository.delivery_cancel(id).await?;
            // It may only wait behind others.
            if cancelled == Cancelled::BeingSent && engine.give_up_one(id).await {
                cancelled = repository.delivery_cancel(id).await?;
            }
            Ok((cancelled, repository.delivery_get(id).await?))
        })
        .await?;
    let record = found.ok_or_else(|| no_such(id))?;
    match cancelled {
        Cancelled::Done => Ok(HttpResponse::Ok().json(DeliveryView::from(&record))),
        Cancelled::BeingSent => Err(being_sent()),
        Cancelled::NotThere => {
            Err(ApiError::Conflict(format!("it has ended already: it is {}", record.state.as_str())))
        }
    }
}
