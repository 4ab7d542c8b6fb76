//! An `api-server` process of an example's own, on a database that goes with it.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use tokio::process::{Child, Command};
use url::Url;

use crate::usage::Watched;

/// The key of the service.
pub const KEY: &str = "the-examples-and-nobody-else";

/// The running service; stop it with [`Service::stop`].
pub struct Service {
    /// Its address.
    pub address: String,
    /// The port in that address.
    pub port: u16,
    client: Client,
    process: Child,
    data: tempfile::TempDir,
}

/// Speaks to the service. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    address: String,
}

impl Service {
    /// Starts the service with every platform's address turned to `platforms`; it says what is of this level
    /// (`warn`, `error`) or worse.
    ///
    /// # Errors
    /// It is not built, or does not start.
    pub async fn start(platforms: &Url, log: &str) -> anyhow::Result<Self> {
        let program = program()?;
        let data = tempfile::Builder::new().prefix("knowledge-os-example-").tempdir()?;
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let address = format!("http://127.0.0.1:{port}");
        let process = Command::new(&program)
            .env("BIND_ADDR", format!("127.0.0.1:{port}"))
            .env("DATA_DIR", data.path())
            .env("API_KEY", KEY)
            .env("EGRESS_ALLOW", "127.0.0.0/8")
            .env("SLACK_API_URL", platforms.as_str())
            .env("DISCORD_API_URL", platforms.as_str())
            .env("TELEGRAM_API_URL", platforms.as_str())
            .env("LOG", log)
            .env_remove("DATABASE_URL")
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let client = Client { http: http()?, address: address.clone() };
        let mut service = Self { address, port, client, process, data };
        service.until_ready().await?;
        Ok(service)
    }

    /// Runs the service for as long as it is measured, or until somebody interrupts. It sends nothing anywhere.
    ///
    /// # Errors
    /// It does not start or stop, or what is measured fails.
    pub async fn alone(measure: impl AsyncFnOnce(&Self) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let service = Self::start(&Url::parse("http://127.0.0.1:9/")?, "error").await?;
        let measured = tokio::select! {
            measured = measure(&service) => measured,
            interrupted = tokio::signal::ctrl_c() => interrupted.map_err(Into::into),
        };
        let stopped = service.stop().await;
        measured.and(stopped)
    }

    async fn until_ready(&mut self) -> anyhow::Result<()> {
        let since = Instant::now();
        while self.client.http.get(format!("{}/readyz", self.address)).send().await.is_err() {
            if let Some(status) = self.process.try_wait()? {
                anyhow::bail!("api-server ended with {status}");
            }
            anyhow::ensure!(since.elapsed() < Duration::from_secs(60), "api-server does not answer");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Its process, and that of its Postgres.
    ///
    /// # Errors
    /// One of them does not run.
    pub fn watched(&self) -> anyhow::Result<(Watched, Watched)> {
        let own = self.process.id().context("api-server has ended")?;
        Ok((Watched::new(own), Watched::postgres(self.data.path())?))
    }

    /// Speaks to the service from another task.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// As [`Client::post`].
    ///
    /// # Errors
    /// The service refuses.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.client.post(path, body).await
    }

    /// Reads.
    ///
    /// # Errors
    /// The service refuses.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.client.call(Method::GET, path, None).await
    }

    /// Has its Postgres carry out a statement, with `psql`.
    ///
    /// # Errors
    /// There is no `psql`, or Postgres refuses.
    pub async fn sql(&self, statement: &str) -> anyhow::Result<()> {
        let data = self.data.path();
        let done = Command::new("psql")
            .arg("--host")
            .arg(data.join("run"))
            .args(["--username", "knowledge_os", "--no-psqlrc", "--quiet", "--command", statement, "knowledge_os"])
            .env("PGPASSWORD", std::fs::read_to_string(data.join("postgres-password"))?)
            .output()
            .await
            .context("psql does not run")?;
        let said = String::from_utf8_lossy(&done.stderr);
        anyhow::ensure!(done.status.success(), "psql: {said}");
        Ok(())
    }

    /// Waits until the words of so many texts are counted, as is done behind an import.
    ///
    /// # Errors
    /// The service does not answer.
    pub async fn until_counted(&self, texts: u64) -> anyhow::Result<()> {
        let counted = |stats: &Value| stats.pointer("/search/texts").and_then(Value::as_u64).unwrap_or_default();
        while counted(&self.get("/stats").await?) < texts {
            // To count all texts again and again would hold up what is waited for.
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        Ok(())
    }

    /// Waits until no more than so many deliveries have no outcome yet, 30 s at the most.
    ///
    /// # Errors
    /// The service refuses.
    pub async fn settle(&self, at_most: u64) -> anyhow::Result<()> {
        let since = Instant::now();
        let waiting = |stats: &Value| stats.pointer("/deliveries/waiting").and_then(Value::as_u64) > Some(at_most);
        while waiting(&self.get("/stats").await?) && since.elapsed() < Duration::from_secs(30) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// Stops the service and removes its data.
    ///
    /// # Errors
    /// Its data cannot be removed.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        // An interrupt at the terminal has reached it already; then it is ending.
        if let Some(id) = self.process.id() {
            Command::new("kill").arg(id.to_string()).stderr(Stdio::null()).status().await?;
        }
        self.process.wait().await?;
        self.data.close().context("the service's data could not be removed")
    }
}

impl Client {
    /// Writes.
    ///
    /// # Errors
    /// The service refuses.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// Imports knowledge, a line of JSON an item.
    ///
    /// # Errors
    /// The service refuses.
    pub async fn import(&self, lines: String) -> anyhow::Result<Value> {
        let request = self.request(Method::POST, "/knowledge/import").header("Content-Type", "application/x-ndjson");
        answered("/knowledge/import", request.body(lines)).await
    }

    /// Reads an answer as it came.
    ///
    /// # Errors
    /// The service refuses.
    pub async fn read(&self, path: &str) -> anyhow::Result<String> {
        let response = self.request(Method::GET, path).send().await?;
        Ok(response.error_for_status()?.text().await?)
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let request = self.request(method, path);
        answered(path, if let Some(body) = body { request.json(body) } else { request }).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.address)).header("X-API-Key", KEY)
    }
}

async fn answered(path: &str, request: RequestBuilder) -> anyhow::Result<Value> {
    let response = request.send().await?;
    let status = response.status();
    let answer: Value = response.json().await?;
    anyhow::ensure!(status.is_success(), "{path} answered {status}: {answer}");
    Ok(answer)
}

/// The server that was built beside this program.
fn program() -> anyhow::Result<PathBuf> {
    let here = PathBuf::from("/proc/self/exe").read_link()?;
    let folder = here.parent().and_then(|examples| examples.parent()).context("this program lies nowhere")?;
    let program = folder.join("api-server");
    anyhow::ensure!(program.exists(), "{} is not built: cargo build --release --bin api-server", program.display());
    Ok(program)
}

/// Reqwest wants a TLS provider named, although the examples speak plain HTTP to loopback alone.
fn http() -> anyhow::Result<reqwest::Client> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Ok(reqwest::Client::builder().no_proxy().build()?)
}
