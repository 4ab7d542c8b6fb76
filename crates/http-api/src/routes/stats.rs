//! GET /stats

use actix_web::{HttpResponse, web};
use kos_repository::Stats;
use serde::Serialize;
use utoipa::ToSchema;

use crate::problem::Result;
use crate::state::State;

/// How much there is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StatsView {
    /// Pieces of knowledge.
    total_knowledge: i64,
    /// Of those, confirmed by somebody.
    verified_knowledge: i64,
    /// Mean confidence, 0 to 1; null without knowledge.
    average_confidence: Option<f64>,
    /// Domains.
    total_domains: i64,
    /// Experts.
    total_experts: i64,
    /// Tasks.
    total_tasks: i64,
    /// Of those, completed.
    completed_tasks: i64,
    /// Interactions.
    total_interactions: i64,
    /// Mean feedback, 1 to 5; null when nobody gave any.
    average_feedback: Option<f64>,
    /// Webhooks.
    webhooks: WebhookStats,
    /// Deliveries.
    deliveries: DeliveryStats,
}

/// How many webhooks there are.
#[derive(Debug, Serialize, ToSchema)]
struct WebhookStats {
    /// Registered.
    total: i64,
    /// Switched on.
    enabled: i64,
}

/// How deliveries go.
#[derive(Debug, Serialize, ToSchema)]
struct DeliveryStats {
    /// Not done yet, those parked for a disabled webhook included.
    waiting: i64,
    /// Given up.
    dead: i64,
    /// Attempts in the last 24 hours.
    attempts_24h: i64,
    /// Of those, accepted by their platform.
    delivered_24h: i64,
}

/// Counts everything.
#[utoipa::path(get, path = "/stats", tag = "system", responses((status = 200, body = StatsView)))]
pub(crate) async fn stats(state: web::Data<State>) -> Result<HttpResponse> {
    let repository = state.repository.clone();
    let stats = state.run(async move { Ok(repository.stats().await?) }).await?;
    Ok(HttpResponse::Ok().json(StatsView::from(stats)))
}

impl From<Stats> for StatsView {
    fn from(stats: Stats) -> Self {
        Self {
            total_knowledge: stats.knowledge,
            verified_knowledge: stats.verified,
            average_confidence: stats.average_confidence,
            total_domains: stats.domains,
            total_experts: stats.experts,
            total_tasks: stats.tasks,
            completed_tasks: stats.tasks_completed,
            total_interactions: stats.interactions,
            average_feedback: stats.average_feedback,
            webhooks: WebhookStats { total: stats.webhooks, enabled: stats.webhooks_enabled },
            deliveries: DeliveryStats {
                waiting: stats.deliveries_waiting,
                dead: stats.dead_letters,
                attempts_24h: stats.attempts_24h,
                delivered_24h: stats.delivered_24h,
            },
        }
    }
}
