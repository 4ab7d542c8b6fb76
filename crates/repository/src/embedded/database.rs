//! The database within the server, made once.

use std::thread;
use std::time::{Duration, Instant};

use tokio_postgres::error::SqlState;
use tokio_postgres::{Error, NoTls};

/// How long a server may take to recover from a crash before it lets us in.
const RECOVERY: Duration = Duration::from_secs(60);

/// Makes the database unless it is there. Blocks, whether or not there is a runtime around it.
pub(super) fn ensure(admin_url: &str, name: &str) -> Result<(), Error> {
    let work = || {
        // A thread of its own, because a runtime must not be started within another.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_or(Ok(()), |runtime| runtime.block_on(ensure_once_up(admin_url, name)))
    };
    thread::scope(|scope| scope.spawn(work).join().unwrap_or(Ok(())))
}

async fn ensure_once_up(admin_url: &str, name: &str) -> Result<(), Error> {
    let since = Instant::now();
    loop {
        match ensure_now(admin_url, name).await {
            Err(error) if error.code() == Some(&SqlState::CANNOT_CONNECT_NOW) && since.elapsed() < RECOVERY => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            done => return done,
        }
    }
}

async fn ensure_now(admin_url: &str, name: &str) -> Result<(), Error> {
    let (client, connection) = tokio_postgres::connect(admin_url, NoTls).await?;
    let driver = tokio::spawn(connection);
    let known = client.query_opt("SELECT 1 FROM pg_database WHERE datname = $1", &[&name]).await?;
    if known.is_none() {
        match client.batch_execute(&format!("CREATE DATABASE \"{name}\"")).await {
            // Another process was quicker.
            Err(error) if is_there(&error) => {}
            made => made?,
        }
    }
    drop(client);
    // The connection ends with its client; how is of no interest any more.
    let _ = driver.await;
    Ok(())
}

fn is_there(error: &Error) -> bool {
    matches!(error.code(), Some(&SqlState::DUPLICATE_DATABASE | &SqlState::UNIQUE_VIOLATION))
}
