//! POST /knowledge/import

use std::collections::VecDeque;
use std::pin::pin;
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::StreamExt as _;
use futures_util::future::{Either, select};
use kos_model::knowledge::transfer::{Chunk, ImportFate, ImportLine, ImportReport, Importer, LineError};
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::query::ImportQuery;
use crate::body::{cut, is_of};
use crate::problem::{ApiError, Result};
use crate::query::{QueryString, flag};
use crate::state::State;

/// The type of lines of JSON.
pub(super) const NDJSON: &str = "application/x-ndjson";
/// What others call it.
const ACCEPTED: [&str; 4] = [NDJSON, "application/ndjson", "application/jsonl", "application/x-jsonlines"];
/// How long a stream may be silent.
const SILENCE: Duration = Duration::from_secs(10);

/// What the import came to.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ImportView {
    /// Lines whose item was not there.
    imported: u64,
    /// Lines whose item, by its id, was there and said something else.
    updated: u64,
    /// Lines whose item was there already, or another with the same text: nothing was changed.
    duplicates: u64,
    /// Lines that could not be stored.
    failed: u64,
    /// The first 100 of those.
    errors: Vec<LineErrorView>,
}

/// A line that could not be stored.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LineErrorView {
    /// Its number, from 1.
    line: u64,
    /// The rule that it breaks.
    #[schema(example = "invalid_json")]
    code: &'static str,
    /// What is wrong and how to mend it.
    detail: String,
}

impl From<ImportReport> for ImportView {
    fn from(report: ImportReport) -> Self {
        let view = |LineError { line, code, detail }| LineErrorView { line, code, detail };
        Self {
            imported: report.imported,
            updated: report.updated,
            duplicates: report.duplicates,
            failed: report.failed,
            errors: report.errors.into_iter().map(view).collect(),
        }
    }
}

/// Reads knowledge from lines of JSON (NDJSON) as `GET /knowledge/export` writes them: items, of which only `content` is
/// required, and links (`"type": "link"`, `source_id`, `target_id`, `kind`), which come after the items they link. An item
/// whose id is there is changed, in the bin or not; a text that is there under another id is left out. Of any size: up to
/// 1,000 lines are stored at a time, and what is stored stays when the stream breaks off. The same file may come again:
/// what is there already stays as it is. A line may have 2 MiB; one that is broken keeps no other out. Nobody is told of
/// what is imported unless `events=true`.
#[utoipa::path(
    post, path = "/knowledge/import", tag = "knowledge", params(ImportQuery),
    request_body(content = String, content_type = "application/x-ndjson", description = "One item or link a line"),
    responses(
        (status = 200, description = "What it came to", body = ImportView),
        (status = 422, description = "A parameter breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(
    state: web::Data<State>,
    query: QueryString<ImportQuery>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse> {
    let tells = flag("events", query.0.events)?.unwrap_or_default();
    is_of(&request, NDJSON, |kind| ACCEPTED.contains(&kind))?;
    let mut reader = Reader { payload, importer: Importer::default(), read: VecDeque::new(), is_over: false };
    // While one chunk is stored the next one is read.
    let mut chunk = reader.next().await?;
    while let Some(present) = chunk {
        let lines: Vec<u64> = present.iter().map(ImportLine::number).collect();
        let (fates, next) = match select(pin!(store(&state, present, tells)), pin!(reader.next())).await {
            Either::Left((stored, reading)) => (stored?, reading.await),
            Either::Right((next, storing)) => (storing.await?, next),
        };
        reader.importer.note(&lines, fates);
        chunk = next?;
    }
    Ok(HttpResponse::Ok().json(ImportView::from(reader.importer.into_report())))
}

/// The lines as they come in.
struct Reader {
    payload: web::Payload,
    importer: Importer,
    /// Chunks that came together with one before.
    read: VecDeque<Chunk>,
    is_over: bool,
}

impl Reader {
    /// The next chunk; none when there is no more.
    async fn next(&mut self) -> Result<Option<Chunk>> {
        while self.read.is_empty() && !self.is_over {
            match timeout(SILENCE, self.payload.next()).await.map_err(|_silent| ApiError::TooSlow(SILENCE))? {
                Some(bytes) => self.read.extend(self.importer.feed(&bytes.map_err(|error| cut(&error))?)),
                None => {
                    self.is_over = true;
                    self.read.extend(self.importer.end());
                }
            }
        }
        Ok(self.read.pop_front())
    }
}

async fn store(state: &State, chunk: Chunk, tells: bool) -> Result<Vec<ImportFate>> {
    let (repository, intake) = (state.repository.clone(), state.engine.intake());
    state
        .run(async move {
            let (fates, emitted) = repository.knowledge_import(&chunk, tells.then(|| intake.terms())).await?;
            intake.take_all(emitted);
            Ok(fates)
        })
        .await
}
