//! GET /graph/export

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, HeaderName};
use actix_web::web::Bytes;
use actix_web::{HttpResponse, web};
use futures_util::{Stream, StreamExt, stream};
use kos_graph::{Document, Format, MAX_PICTURED, picture};
use kos_model::{KnowledgeId, LinkId, Violation};
use kos_repository::{Repository, Subgraph};
use serde::Deserialize;

use super::selection::{Asked, check, select};
use crate::problem::{ApiError, Result};
use crate::query::QueryString;
use crate::state::State;

const TRUNCATED: HeaderName = HeaderName::from_static("x-graph-truncated");
/// Nodes, and links, that are read at once where the whole graph is written.
const NODE_PAGE: u32 = 1_000;
const EDGE_PAGE: u32 = 5_000;

/// In which format, and which part of the graph: one of `domain`, `ids` and `q`, or the whole.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExportQuery {
    /// `json` (JSON Graph Format 2), `graphml`, `dot`, or `svg`, a picture of at most 200 items; `json` when not given.
    #[param(example = "graphml")]
    format: Option<String>,
    /// The items of the domain of this name, those with the most links first.
    domain: Option<String>,
    /// These items, parted by commas, at most 500.
    ids: Option<String>,
    /// What a search finds; the best 200.
    q: Option<String>,
    /// How many nodes of a part, 1 to 2,000; 200 when not given. The whole graph is written without limit.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 2000)]
    limit: Option<String>,
}

/// Writes the graph, or a part of it, for other programs, or draws it. `X-Graph-Truncated: true` says that limits left
/// something out.
#[utoipa::path(
    get, path = "/graph/export", tag = "graph", params(ExportQuery),
    responses(
        (status = 200, description = "The graph", content(
            (serde_json::Value = "application/vnd.jgf+json"), (String = "application/graphml+xml"),
            (String = "text/vnd.graphviz"), (String = "image/svg+xml"),
        )),
        (status = 422, description = "A parameter breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, query: QueryString<ExportQuery>) -> Result<HttpResponse> {
    let ExportQuery { format, domain, ids, q, limit } = query.0;
    let format = read_format(format.as_deref())?;
    let asked = Asked { domain, ids, q, limit };
    let (selection, limit) = check(&asked)?;
    let repository = state.repository.clone();
    match (format, selection) {
        (Some(format), None) => whole(state, format).await,
        (Some(format), Some(selection)) => {
            let part = state.run(async move { Ok(select(&repository, selection, limit).await?) }).await?;
            Ok(written(format, &part))
        }
        (None, selection) => {
            let limit = if asked.limit.is_some() { limit.min(most_pictured()) } else { most_pictured() };
            let part = state
                .run(async move {
                    match selection {
                        Some(selection) => Ok(select(&repository, selection, limit).await?),
                        None => Ok(best_linked(&repository, limit).await?),
                    }
                })
                .await?;
            drawn(&state, part).await
        }
    }
}

/// None for a picture.
fn read_format(text: Option<&str>) -> std::result::Result<Option<Format>, Violation> {
    match text {
        None | Some("json") => Ok(Some(Format::Json)),
        Some("graphml") => Ok(Some(Format::GraphMl)),
        Some("dot") => Ok(Some(Format::Dot)),
        Some("svg") => Ok(None),
        Some(_) => Err(Violation::new("format", "unknown_format", "must be json, graphml, dot or svg")),
    }
}

fn most_pictured() -> u32 {
    u32::try_from(MAX_PICTURED).unwrap_or(u32::MAX)
}

/// The whole of a small graph; of a larger one the items of the most links.
async fn best_linked(repository: &Repository, limit: u32) -> kos_repository::Result<Subgraph> {
    let overview = repository.graph_overview().await?;
    let ids: Vec<KnowledgeId> = if overview.nodes <= u64::from(limit) {
        repository.graph_node_page(None, limit).await?.into_iter().map(|node| node.id).collect()
    } else {
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        overview.counted.hubs.iter().take(most).map(|hub| hub.id).collect()
    };
    let part = repository.graph_of(&ids).await?;
    let is_cut = u64::try_from(ids.len()).is_ok_and(|drawn| drawn < overview.nodes);
    Ok(Subgraph { truncated: part.truncated || is_cut, total: Some(overview.nodes), ..part })
}

fn named(extension: &str) -> (HeaderName, String) {
    (CONTENT_DISPOSITION, format!("inline; filename=\"knowledge.{extension}\""))
}

fn written(format: Format, part: &Subgraph) -> HttpResponse {
    let mut document = Document::new(format);
    part.graph.nodes.iter().for_each(|node| document.node(node));
    part.graph.edges.iter().for_each(|edge| document.edge(edge));
    HttpResponse::Ok()
        .content_type(format.media_type())
        .insert_header(named(format.extension()))
        .insert_header((TRUNCATED, part.truncated.to_string()))
        .body(document.finish())
}

/// To lay out a picture takes a while, and nobody else is to wait for it.
async fn drawn(state: &State, part: Subgraph) -> Result<HttpResponse> {
    let truncated = part.truncated;
    let drawing = state.runtime.spawn_blocking(move || picture(&part.graph, part.total));
    let svg = drawing.await.map_err(|error| ApiError::Internal(Arc::new(error)))?;
    Ok(HttpResponse::Ok()
        .content_type("image/svg+xml")
        .insert_header(named("svg"))
        .insert_header((TRUNCATED, truncated.to_string()))
        .insert_header((CONTENT_SECURITY_POLICY, "default-src 'none'"))
        .body(svg))
}

/// The first piece is read before the answer begins, so that a database that is away is told as a problem.
async fn whole(state: web::Data<State>, format: Format) -> Result<HttpResponse> {
    let mut writer = Writer::new(state, format);
    let first = writer.next().await?.unwrap_or_default();
    let pieces = stream::once(async move { Ok(first) }).chain(rest(writer));
    Ok(HttpResponse::Ok()
        .content_type(format.media_type())
        .insert_header(named(format.extension()))
        .insert_header((TRUNCATED, "false"))
        .streaming(pieces))
}

/// What fails half way cuts the answer off: what was sent cannot be taken back.
fn rest(writer: Writer) -> impl Stream<Item = io::Result<Bytes>> {
    stream::try_unfold(writer, |mut writer| async move {
        match writer.next().await {
            Ok(piece) => Ok(piece.map(|piece| (piece, writer))),
            Err(error) => {
                tracing::warn!(%error, "an export of the graph was cut off");
                Err(io::Error::other(error.to_string()))
            }
        }
    })
}

/// Where the writing of a whole graph stands.
enum Stage {
    Nodes(Option<KnowledgeId>),
    Edges(Option<LinkId>),
    Done,
}

struct Writer {
    state: web::Data<State>,
    document: Option<Document>,
    stage: Stage,
    /// What was written: links are left out whose ends came or went meanwhile.
    known: HashSet<KnowledgeId>,
}

impl Writer {
    fn new(state: web::Data<State>, format: Format) -> Self {
        Self { state, document: Some(Document::new(format)), stage: Stage::Nodes(None), known: HashSet::new() }
    }

    async fn next(&mut self) -> Result<Option<Bytes>> {
        let repository = self.state.repository.clone();
        let Some(document) = self.document.as_mut() else { return Ok(None) };
        match self.stage {
            Stage::Nodes(after) => {
                let page = async move { Ok(repository.graph_node_page(after, NODE_PAGE).await?) };
                let nodes = self.state.run(page).await?;
                nodes.iter().for_each(|node| document.node(node));
                self.known.extend(nodes.iter().map(|node| node.id));
                self.stage = nodes.last().map_or(Stage::Edges(None), |node| Stage::Nodes(Some(node.id)));
            }
            Stage::Edges(after) => {
                let page = async move { Ok(repository.graph_edge_page(after, EDGE_PAGE).await?) };
                let edges = self.state.run(page).await?;
                let known = |id: &KnowledgeId| self.known.contains(id);
                edges
                    .iter()
                    .filter(|edge| known(&edge.source) && known(&edge.target))
                    .for_each(|edge| document.edge(edge));
                self.stage = edges.last().map_or(Stage::Done, |edge| Stage::Edges(Some(edge.id)));
            }
            Stage::Done => return Ok(self.document.take().map(|document| Bytes::from(document.finish()))),
        }
        Ok(Some(Bytes::from(document.drain())))
    }
}
