//! Which part of the graph somebody asks for.

use kos_model::{KnowledgeId, Violation, Violations};
use kos_repository::{Repository, Search, Subgraph};
use kos_search::Query;

use super::params;

/// Nodes of an answer, when not given, and at most.
const USUAL_NODES: u32 = 200;
const MAX_NODES: u32 = 2_000;
/// Ids that one query may list.
const MAX_IDS: usize = 500;
/// Finds that a search puts into a part.
const MAX_FOUND: u32 = 200;

/// The parameters as they were given.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) domain: Option<String>,
    pub(super) ids: Option<String>,
    pub(super) q: Option<String>,
    pub(super) limit: Option<String>,
}

/// A part of the graph.
#[derive(Debug)]
pub(super) enum Selection {
    /// The items of a domain.
    Domain(String),
    /// These items.
    Ids(Vec<KnowledgeId>),
    /// What a search finds.
    Found(Query),
}

/// Reads the parameters; no selection at all is the whole graph.
pub(super) fn check(asked: &Asked) -> Result<(Option<Selection>, u32), Violations> {
    let mut faults = Violations::new();
    let limit = faults.take(params::number("limit", asked.limit.as_deref(), USUAL_NODES, 1..=MAX_NODES));
    let domain = asked.domain.as_deref().map(|name| {
        kos_model::knowledge::text("domain", name, kos_model::knowledge::MAX_DOMAIN).map(Selection::Domain)
    });
    let ids = asked.ids.as_deref().map(|text| read_ids(text).map(Selection::Ids));
    let found = asked.q.as_deref().map(|text| {
        let named = |fault: Violation| Violation { pointer: "q".to_owned(), ..fault };
        Query::parse(text).map(Selection::Found).map_err(named)
    });
    let given: Vec<_> = [domain, ids, found].into_iter().flatten().collect();
    if given.len() > 1 {
        faults.push(Violation::new("domain", "ambiguous", "give one of domain, ids and q"));
    }
    let selection = given.into_iter().filter_map(|selection| faults.take(selection)).next();
    if faults.is_empty() { Ok((selection, limit.unwrap_or(USUAL_NODES))) } else { Err(faults) }
}

fn read_ids(text: &str) -> Result<Vec<KnowledgeId>, Violation> {
    let read = |id: &str| id.trim().parse::<KnowledgeId>();
    let ids: Result<Vec<_>, _> = text.split(',').map(read).collect();
    let mut ids = ids.map_err(|_not_ids| Violation::new("ids", "invalid_id", "must be UUIDs, parted by commas"))?;
    ids.sort_unstable();
    ids.dedup();
    if ids.len() > MAX_IDS {
        let detail = format!("{} ids; at most {MAX_IDS}: ask in several calls", ids.len());
        return Err(Violation::new("ids", "too_many", detail));
    }
    Ok(ids)
}

/// Reads a part of the graph, at most so many nodes of it.
pub(super) async fn select(
    repository: &Repository,
    selection: Selection,
    limit: u32,
) -> kos_repository::Result<Subgraph> {
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    match selection {
        Selection::Domain(name) => repository.graph_of_domain(&name, most).await,
        Selection::Ids(ids) => first_of(repository, ids, most).await,
        Selection::Found(query) => {
            let search = Search { limit: limit.min(MAX_FOUND) + 1, texts: false, ..Search::of(query) };
            let ids = repository.search(&search).await?.hits.into_iter().map(|hit| hit.id).collect();
            first_of(repository, ids, most.min(usize::try_from(MAX_FOUND).unwrap_or(usize::MAX))).await
        }
    }
}

async fn first_of(repository: &Repository, mut ids: Vec<KnowledgeId>, most: usize) -> kos_repository::Result<Subgraph> {
    let is_cut = ids.len() > most;
    ids.truncate(most);
    let part = repository.graph_of(&ids).await?;
    Ok(Subgraph { truncated: part.truncated || is_cut, ..part })
}
