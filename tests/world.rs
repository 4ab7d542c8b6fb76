//! A service of the test's own: its settings, its folder, and a client that speaks to it.

use std::process::Output;

use kos_test_support::Process;
use kos_test_support::process::free_port;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The key of every service here that is given one.
pub(crate) const KEY: &str = "your-secret-api-key";

/// The settings of a service, and the folder that it keeps its things in.
pub(crate) struct World {
    pub(crate) dir: TempDir,
    pub(crate) port: u16,
    settings: Vec<(&'static str, String)>,
}

/// Speaks to a service. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    address: String,
    key: String,
}

impl World {
    /// A folder and a port: all that differs from a start without any setting.
    pub(crate) fn bare() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = free_port();
        let settings =
            vec![("DATA_DIR", dir.path().to_str().unwrap().to_owned()), ("BIND_ADDR", format!("127.0.0.1:{port}"))];
        Self { dir, port, settings }
    }

    /// With a key, and with leave to call receivers on this machine.
    pub(crate) fn new() -> Self {
        Self::bare().with("API_KEY", KEY).with("EGRESS_ALLOW", "127.0.0.0/8")
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.settings.push((name, value.to_owned()));
        self
    }

    pub(crate) fn settings(&self) -> Vec<(&str, &str)> {
        self.settings.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }

    /// Starts the service and waits until it says how to try it.
    pub(crate) fn serve(&self) -> Process {
        let server = Process::start("api-server", &[], &self.settings());
        server.wait_for("try it");
        server
    }

    /// A client with connections of its own, none of which an earlier server has known.
    pub(crate) fn client(&self) -> Client {
        Client { http: http(), address: format!("http://127.0.0.1:{}", self.port), key: KEY.to_owned() }
    }

    /// Registers a custom endpoint that hears everything; returns its id.
    pub(crate) async fn register(&self, url: &str) -> String {
        let (status, created) = self.client().post("/webhooks", &json!({"webhook_type": "custom", "url": url})).await;
        assert_eq!(status, 201, "{created}");
        created["id"].as_str().unwrap().to_owned()
    }

    /// Asks until nothing waits to be delivered.
    pub(crate) async fn settled(&self) {
        let client = self.client();
        while client.get("/stats").await.1["deliveries"]["waiting"] != 0 {}
    }
}

impl Client {
    pub(crate) fn with_key(&self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self.clone() }
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        self.call(self.http.get(format!("{}{path}", self.address))).await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.try_post(path, body).await.unwrap()
    }

    /// As [`Self::post`], where the server may be gone.
    pub(crate) async fn try_post(&self, path: &str, body: &Value) -> reqwest::Result<(u16, Value)> {
        self.call(self.http.post(format!("{}{path}", self.address)).json(body)).await
    }

    /// What is no JSON.
    pub(crate) async fn get_text(&self, path: &str) -> String {
        let request = self.http.get(format!("{}{path}", self.address)).header("X-API-Key", &self.key);
        request.send().await.unwrap().text().await.unwrap()
    }

    async fn call(&self, request: reqwest::RequestBuilder) -> reqwest::Result<(u16, Value)> {
        let response = request.header("X-API-Key", &self.key).send().await?;
        Ok((response.status().as_u16(), response.json().await?))
    }
}

/// Reqwest wants a TLS provider named, although only plain HTTP is spoken here.
fn http() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// What a program said on its standard output.
pub(crate) fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What a program said on its standard error.
pub(crate) fn complained(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}
