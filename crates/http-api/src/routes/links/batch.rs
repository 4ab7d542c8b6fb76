//! POST /links/batch

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use kos_model::json::Fields;
use kos_model::link::{LinkDraft, NewLink};
use kos_model::{KnowledgeId, LinkOrigin, Violation, Violations};
use kos_repository::LinkFate;
use serde::{Deserialize, Serialize};
use serde_json::Map;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::LinkView;
use crate::body::{item, storable};
use crate::creation::{Creation, IdempotencyKey, judged};
use crate::problem::{FieldError, Result, field_errors};
use crate::state::State;

/// Most links of one call.
const MAX_LINKS: usize = 1_000;

/// Several links.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateLinks {
    /// The links, 1 to 1,000: `source_id`, `target_id`, `kind`, and where you like `weight`, `note`, `metadata`.
    #[schema(value_type = Vec<BatchLink>)]
    links: Vec<Box<RawValue>>,
}

/// One link of several.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BatchLink {
    /// One end.
    #[schema(format = Uuid)]
    source_id: String,
    /// The other end.
    #[schema(format = Uuid)]
    target_id: String,
    /// How the source bears on the target, or by an inverse name the target on the source.
    #[schema(example = "depends_on")]
    kind: String,
    /// How strong it is, 0 to 1; 1 when not given.
    #[schema(minimum = 0, maximum = 1)]
    weight: Option<f64>,
    /// Why it is there.
    note: Option<String>,
    /// Anything else, kept as it is.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Fields>,
}

/// What became of each link.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LinkResults {
    /// One for each link, in their order.
    results: Vec<LinkResult>,
}

/// A link as it is stored, or why it is not.
#[derive(Debug, Serialize, ToSchema)]
struct LinkResult {
    /// `created`, `updated`, `unchanged` or `refused`.
    #[schema(example = "created")]
    status: &'static str,
    /// The link as it is stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<LinkView>,
    /// Every broken rule, with its field within the link.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
    /// The circle of items that it would have closed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    cycle: Vec<KnowledgeId>,
}

/// Makes several links in one transaction. Each is judged by itself: what is refused does not keep the others out.
#[utoipa::path(
    post, path = "/links/batch", tag = "graph", request_body = CreateLinks,
    params(IdempotencyKey),
    responses(
        (status = 200, description = "Each link's fate", body = LinkResults),
        (status = 409, description = "A request with this key is under way (`idempotency_key_busy`)", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 422, description = "The body breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, request: Creation<CreateLinks>) -> Result<HttpResponse> {
    let items = request.body.links;
    if !(1..=MAX_LINKS).contains(&items.len()) {
        return Err(Violation::new("/links", "out_of_range", "must hold 1 to 1,000 links").into());
    }
    let checked: Vec<std::result::Result<NewLink, Violations>> = items.iter().map(|raw| check(raw)).collect();
    let links: Vec<NewLink> = checked.iter().filter_map(|link| link.as_ref().ok()).cloned().collect();
    let render = move |fates| judged(StatusCode::OK, &LinkResults::of(&checked, fates));
    state.create(links, request.idempotency, render).await
}

fn check(raw: &RawValue) -> std::result::Result<NewLink, Violations> {
    let link: BatchLink = item(raw)?;
    let mut faults = Violations::new();
    if let Some(metadata) = &link.metadata {
        faults.take(storable("/metadata", metadata));
    }
    let BatchLink { source_id, target_id, kind, weight, note, metadata } = link;
    let metadata = metadata.map(Map::from);
    let draft = LinkDraft { source_id, target_id, kind, weight, note, metadata, origin: LinkOrigin::Manual };
    match draft.check() {
        Ok(link) if faults.is_empty() => Ok(link),
        Ok(_) => Err(faults),
        Err(more) => {
            more.as_slice().iter().for_each(|fault| faults.push(fault.clone()));
            Err(faults)
        }
    }
}

impl LinkResults {
    fn of(checked: &[std::result::Result<NewLink, Violations>], fates: Vec<LinkFate>) -> Self {
        let mut fates = fates.into_iter();
        let result = |link: &std::result::Result<NewLink, Violations>| match link {
            Ok(link) => fates.next().map(|fate| LinkResult::of(fate, link)),
            Err(faults) => Some(LinkResult::refused(faults)),
        };
        Self { results: checked.iter().filter_map(result).collect() }
    }
}

impl LinkResult {
    fn of(fate: LinkFate, link: &NewLink) -> Self {
        match fate {
            LinkFate::Created(record) => Self::stored("created", record.into()),
            LinkFate::Updated(record) => Self::stored("updated", record.into()),
            LinkFate::Present(record) => Self::stored("unchanged", record.into()),
            LinkFate::Dangling(missing) => Self::refused(&link.dangling(&missing)),
            LinkFate::Cyclic(cycle) => {
                let detail = "would close a circle: links of this kind may not, remove one of `cycle`";
                Self { cycle, ..Self::refused(&Violation::new("/kind", "cycle", detail).into()) }
            }
        }
    }

    fn stored(status: &'static str, link: LinkView) -> Self {
        Self { status, link: Some(link), errors: Vec::new(), cycle: Vec::new() }
    }

    fn refused(faults: &Violations) -> Self {
        Self { status: "refused", link: None, errors: field_errors(faults.as_slice()), cycle: Vec::new() }
    }
}
