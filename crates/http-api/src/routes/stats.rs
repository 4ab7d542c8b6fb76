//! GET /stats

use actix_web::{HttpResponse, web};
use chrono::NaiveDate;
use kos_embeddings::Provider;
use kos_repository::{GraphOverview, Growth, NameCount, Repository, Stats, Totals};
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
    /// Pieces of knowledge without a link, when they were last counted: a minute ago in a large graph.
    orphans: u64,
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
    /// Searches.
    search: SearchStats,
    /// Vectors of the texts, for the search by meaning.
    embeddings: EmbeddingStats,
    /// New knowledge by day (UTC) of the last 30, the oldest first; days without any are left out.
    growth: Vec<DayCount>,
    /// Knowledge by domain, the fullest first, at most 50.
    by_domain: Vec<Count>,
    /// Knowledge by language.
    by_lang: Vec<Count>,
    /// Knowledge by tag, the most frequent first, at most 50.
    by_tag: Vec<Count>,
}

/// How many were added on a day.
#[derive(Debug, Serialize, ToSchema)]
struct DayCount {
    /// The day, in UTC.
    day: NaiveDate,
    /// How many.
    count: i64,
}

/// How many there are of one name.
#[derive(Debug, Serialize, ToSchema)]
struct Count {
    /// The name.
    name: String,
    /// How many.
    count: i64,
}

/// How it is searched, over the last 30 days.
#[derive(Debug, Serialize, ToSchema)]
struct SearchStats {
    /// Searches.
    searches: i64,
    /// Of those, without a result, 0 to 1; null without a search.
    zero_result_share: Option<f64>,
    /// Their mean time, in milliseconds; null without a search.
    mean_ms: Option<f64>,
    /// Different words that were counted, and in how many texts: the search weighs words by this.
    words: i64,
    /// Texts that were counted; new ones are a few seconds later.
    texts: i64,
    /// What was searched for in vain, the most frequent first: what the knowledge lacks.
    gaps: Vec<Count>,
}

/// How far the vectors of the texts are; nothing but `enabled` where no provider is set.
#[derive(Debug, Default, Serialize, ToSchema)]
struct EmbeddingStats {
    /// Whether a provider is set.
    enabled: bool,
    /// The model.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    /// Texts that have a vector of what they say now.
    #[serde(skip_serializing_if = "Option::is_none")]
    embedded: Option<i64>,
    /// Texts that wait for theirs; they are found by their words meanwhile.
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting: Option<i64>,
    /// Texts that the provider refused; they are found by their words.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<i64>,
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

/// Counts everything. Where there is much knowledge, its counts are as old as twenty times what counting takes, at the
/// most.
#[utoipa::path(get, path = "/stats", tag = "system", responses((status = 200, body = StatsView)))]
pub(crate) async fn stats(state: web::Data<State>) -> Result<HttpResponse> {
    let repository = state.repository.clone();
    let provider = state.embeddings.clone();
    let work = async move {
        let embeddings = EmbeddingStats::of(&repository, provider.as_ref()).await?;
        Ok((repository.stats().await?, repository.graph_overview().await?, embeddings))
    };
    let (stats, graph, embeddings) = state.run(work).await?;
    Ok(HttpResponse::Ok().json(StatsView::new(stats, &graph, embeddings)))
}

impl EmbeddingStats {
    async fn of(repository: &Repository, provider: Option<&Provider>) -> Result<Self> {
        let Some(provider) = provider else { return Ok(Self::default()) };
        let progress = repository.vectors_progress(provider.space()).await?;
        Ok(Self {
            enabled: true,
            model: Some(provider.model().to_owned()),
            embedded: Some(progress.embedded),
            waiting: Some(progress.waiting),
            refused: Some(progress.refused),
        })
    }
}

impl StatsView {
    fn new(stats: Stats, graph: &GraphOverview, embeddings: EmbeddingStats) -> Self {
        let Stats { totals, census, gaps } = stats;
        let of_knowledge = census.totals;
        Self {
            total_knowledge: of_knowledge.knowledge,
            verified_knowledge: of_knowledge.verified,
            orphans: graph.nodes.saturating_sub(graph.counted.linked),
            average_confidence: of_knowledge.average_confidence,
            total_domains: totals.domains,
            total_experts: totals.experts,
            total_tasks: totals.tasks,
            completed_tasks: totals.tasks_completed,
            total_interactions: totals.interactions,
            average_feedback: totals.average_feedback,
            webhooks: WebhookStats { total: totals.webhooks, enabled: totals.webhooks_enabled },
            deliveries: DeliveryStats {
                waiting: totals.deliveries_waiting,
                dead: totals.dead_letters,
                attempts_24h: totals.attempts_24h,
                delivered_24h: totals.delivered_24h,
            },
            search: SearchStats::new(&totals, &gaps),
            embeddings,
            growth: census.growth.iter().map(|Growth { day, count }| DayCount { day: *day, count: *count }).collect(),
            by_domain: counts(&census.domains),
            by_lang: counts(&census.langs),
            by_tag: counts(&census.tags),
        }
    }
}

impl SearchStats {
    fn new(totals: &Totals, gaps: &[NameCount]) -> Self {
        let float = |count: i64| u32::try_from(count).map_or(f64::INFINITY, f64::from);
        let share = float(totals.searches_without_result) / float(totals.searches);
        Self {
            searches: totals.searches,
            zero_result_share: (totals.searches > 0).then_some(share),
            mean_ms: totals.search_mean_ms,
            words: totals.search_words,
            texts: totals.search_texts,
            gaps: counts(gaps),
        }
    }
}

fn counts(counts: &[NameCount]) -> Vec<Count> {
    counts.iter().map(|NameCount { name, count }| Count { name: name.clone(), count: *count }).collect()
}
