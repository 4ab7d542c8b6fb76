//! `api-server import` and `api-server export`: knowledge as a file, straight into and out of the database.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use kos_assembly::{Database, Role};
use kos_boot::settings::Storage;
use kos_model::knowledge::transfer::{Chunk, ImportFate, ImportLine, ImportReport, Importer};
use kos_repository::{KnowledgeExport, Repository};
use tokio::task::JoinHandle;

use crate::serve::runtime;

/// Bytes that are read at a time.
const READ: usize = 256 << 10;
/// How often the progress is drawn, at least.
const TICK: Duration = Duration::from_millis(200);

/// Reads a file of any size; fails when a line could not be stored, and says which and why.
pub(crate) fn import(storage: &Storage, file: &Path) -> anyhow::Result<()> {
    let (input, length) = open(file)?;
    let database = Database::open(storage, Role::Owner)?;
    let report = runtime()?.block_on(async {
        database.ready().await?;
        let repository = kos_assembly::repository(&database, storage).await?;
        read_all(&repository, input, length).await
    });
    database.close()?;
    let report = report?;
    for error in &report.errors {
        eprintln!("line {}: {} ({})", error.line, error.detail, error.code);
    }
    let ImportReport { imported, updated, duplicates, failed, .. } = report;
    println!("{imported} imported, {updated} updated, {duplicates} there already, {failed} failed");
    anyhow::ensure!(failed == 0, "{failed} lines could not be stored: mend them and import the file again");
    Ok(())
}

/// The file or the standard input, and how long it is where that is known.
fn open(file: &Path) -> anyhow::Result<(Box<dyn Read>, Option<u64>)> {
    if file == Path::new("-") {
        return Ok((Box::new(io::stdin().lock()), None));
    }
    let opened = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    let length = opened.metadata().ok().filter(fs::Metadata::is_file).map(|metadata| metadata.len());
    Ok((Box::new(opened), length))
}

async fn read_all(
    repository: &Repository,
    mut input: Box<dyn Read>,
    length: Option<u64>,
) -> anyhow::Result<ImportReport> {
    let progress = match length {
        Some(length) => {
            let bar = "{elapsed_precise} [{wide_bar}] {bytes}/{total_bytes}, {msg}";
            ProgressBar::new(length).with_style(ProgressStyle::with_template(bar)?)
        }
        None => ProgressBar::no_length().with_style(ProgressStyle::with_template("{elapsed_precise} {bytes}, {msg}")?),
    };
    progress.enable_steady_tick(TICK);
    let mut importer = Importer::default();
    let mut storing = None;
    let mut buffer = vec![0; READ];
    loop {
        let read = input.read(&mut buffer).context("the file cannot be read any further")?;
        if read == 0 {
            break;
        }
        for chunk in importer.feed(buffer.get(..read).unwrap_or_default()) {
            settle(storing.take(), &mut importer).await?;
            storing = Some(store(repository, chunk));
        }
        progress.inc(u64::try_from(read)?);
        let ImportReport { imported, updated, duplicates, failed, .. } = importer.report();
        progress.set_message(format!("{imported} new, {updated} changed, {duplicates} there, {failed} failed"));
    }
    for chunk in importer.end() {
        settle(storing.take(), &mut importer).await?;
        storing = Some(store(repository, chunk));
    }
    settle(storing, &mut importer).await?;
    progress.finish_and_clear();
    Ok(importer.into_report())
}

/// A chunk that is stored while the next one is read: its lines, and what becomes of them.
type Storing = JoinHandle<kos_repository::Result<(Vec<u64>, Vec<ImportFate>)>>;

fn store(repository: &Repository, chunk: Chunk) -> Storing {
    let repository = repository.clone();
    tokio::spawn(async move {
        let (fates, _told) = repository.knowledge_import(&chunk, None).await?;
        Ok((chunk.iter().map(ImportLine::number).collect(), fates))
    })
}

/// One chunk after the other: a line may change what an earlier one stored.
async fn settle(storing: Option<Storing>, importer: &mut Importer) -> anyhow::Result<()> {
    if let Some(storing) = storing {
        let (lines, fates) = storing.await?.context("the import breaks off; what was stored before stays")?;
        importer.note(&lines, fates);
    }
    Ok(())
}

/// Writes all knowledge. A file is there under its name only once it is whole.
pub(crate) fn export(storage: &Storage, file: &Path) -> anyhow::Result<()> {
    let mut part = file.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let is_standard = file == Path::new("-");
    let output: Box<dyn Write> = match is_standard {
        true => Box::new(io::stdout().lock()),
        false => Box::new(File::create(&part).with_context(|| format!("cannot write {}", part.display()))?),
    };
    let database = Database::open(storage, Role::Guest)?;
    let written = runtime()?.block_on(async {
        database.ready().await?;
        let repository = kos_assembly::repository(&database, storage).await?;
        write_all(&repository, output).await
    });
    database.close()?;
    let (items, links) = written?;
    if !is_standard {
        fs::rename(&part, file).with_context(|| format!("cannot write {}", file.display()))?;
    }
    eprintln!("{items} items and {links} links exported");
    Ok(())
}

/// How many items and links.
async fn write_all(repository: &Repository, mut output: Box<dyn Write>) -> anyhow::Result<(u64, u64)> {
    let style = ProgressStyle::with_template("{elapsed_precise} {human_pos} lines, {per_sec}")?;
    let progress = ProgressBar::no_length().with_style(style);
    progress.enable_steady_tick(TICK);
    let mut export = KnowledgeExport::new(None, None);
    let (mut items, mut links) = (0, 0);
    while let Some((page, rest)) = repository.knowledge_export(export).await? {
        output.write_all(&page.lines).context("the file cannot be written any further")?;
        items += page.items;
        links += page.links;
        progress.set_position(items + links);
        export = rest;
    }
    output.flush().context("the file cannot be written any further")?;
    progress.finish_and_clear();
    Ok((items, links))
}
