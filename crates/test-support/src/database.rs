//! A database for each test, cloned from one that was migrated once.
//!
//! The server is the one that `TEST_DATABASE_URL` names (`with-postgres` sets it), or one that is run
//! below the workspace's target folder and shared by all tests that run at the same time.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use kos_repository::embedded::{Config, Embedded};
use tokio_postgres::{Client, NoTls};

/// The database that the others are cloned from.
const TEMPLATE: &str = "kos_test_template";
/// Held while the template is made, so that tests that start together take turns.
const TEMPLATE_LOCK: i64 = 0x6b6f_735f_7465_7374;

/// A database of the test's own; dropped with this.
#[derive(Debug)]
pub struct TestDb {
    url: String,
    name: String,
}

impl TestDb {
    /// A migrated database. Needs a multi-thread runtime, as migrations do.
    pub async fn new() -> Self {
        let admin = connect(&admin_url()).await;
        ensure_template(&admin).await;
        Self::create(&admin, &format!("TEMPLATE {TEMPLATE}")).await
    }

    /// A database without a table.
    pub async fn empty() -> Self {
        Self::create(&connect(&admin_url()).await, "").await
    }

    /// The database's address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A plain connection, for a look at what is stored.
    pub async fn client(&self) -> Client {
        connect(&self.url).await
    }

    async fn create(admin: &Client, template: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let name = format!("kos_test_{}_{count}_{now}", std::process::id());
        // Cloning takes a lock on the template: tests that start together wait for each other here.
        admin.batch_execute(&format!("SELECT pg_advisory_lock({TEMPLATE_LOCK})")).await.unwrap();
        admin.batch_execute(&format!("CREATE DATABASE {name} {template}")).await.unwrap();
        admin.batch_execute(&format!("SELECT pg_advisory_unlock({TEMPLATE_LOCK})")).await.unwrap();
        Self { url: beside(&admin_url(), &name), name }
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        let statement = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        // A thread of its own: the test's runtime may be ending.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { connect(&admin_url()).await.batch_execute(&statement).await })
        });
        if !matches!(dropped.join(), Ok(Ok(()))) {
            eprintln!("the database {} could not be dropped", self.name);
        }
    }
}

/// Settings of a server whose data nobody will miss.
#[must_use]
pub fn careless_settings() -> Vec<(String, String)> {
    let settings = [
        ("fsync", "off"),
        ("synchronous_commit", "off"),
        ("full_page_writes", "off"),
        ("max_connections", "300"),
        ("shared_buffers", "128MB"),
    ];
    settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}

/// The address of the server's own database.
fn admin_url() -> String {
    static SERVER: OnceLock<(String, Option<Embedded>)> = OnceLock::new();
    let start = || match env::var("TEST_DATABASE_URL") {
        Ok(url) => (url, None),
        Err(_) => {
            let server = Embedded::start(&config(&target_dir().join("test-postgres"))).unwrap();
            (server.url_for("postgres"), Some(server))
        }
    };
    SERVER.get_or_init(start).0.clone()
}

/// How a server for tests is run in a folder.
#[must_use]
pub fn config(data_dir: &Path) -> Config {
    Config {
        data_dir: data_dir.to_owned(),
        bin_dir: None,
        search_path: env::var_os("PATH"),
        settings: careless_settings(),
    }
}

/// `target`, found from the test's own executable in `target/<profile>/deps`.
fn target_dir() -> PathBuf {
    let test = env::current_exe().unwrap();
    test.ancestors().nth(3).expect("tests lie in target/<profile>/deps").to_owned()
}

async fn ensure_template(admin: &Client) {
    admin.batch_execute(&format!("SELECT pg_advisory_lock({TEMPLATE_LOCK})")).await.unwrap();
    let known = admin.query_opt("SELECT 1 FROM pg_database WHERE datname = $1", &[&TEMPLATE]).await.unwrap();
    if known.is_none() {
        admin.batch_execute(&format!("CREATE DATABASE {TEMPLATE}")).await.unwrap();
    }
    // Quick when there is nothing to do, and right when the migrations have changed.
    kos_repository::migrate(&beside(&admin_url(), TEMPLATE)).await.unwrap();
    admin.batch_execute(&format!("SELECT pg_advisory_unlock({TEMPLATE_LOCK})")).await.unwrap();
}

/// The address of another database of the same server.
fn beside(url: &str, database: &str) -> String {
    let (server, _) = url.rsplit_once('/').expect("an address ends with a database");
    format!("{server}/{database}")
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("the test's Postgres answers");
    tokio::spawn(connection);
    client
}
