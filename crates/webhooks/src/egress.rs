//! The one guarded way out. Owns who may be called (addresses, ports, schemes) and the HTTP client
//! that keeps to it; knows no platform and no message.
//!
//! An address written in the URL is judged there, as the connector asks no resolver about it. A name
//! is judged in the resolver, which hands over exactly the addresses that are dialled: a name that
//! answers differently the next time gains nothing. The peer that answered is looked at once more.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, Response, redirect};
use rustls_platform_verifier::BuilderVerifierExt;
use url::{Host, Url};

use crate::channel::Headers;
use crate::draft::trick;
use crate::error::Error;

mod address;
mod resolver;

pub(crate) use address::Reach;
use resolver::Vetted;

/// Ports of public addresses that may be called.
const PUBLIC_PORTS: [u16; 2] = [443, 8443];

/// Whom the program may call beside the public internet. The default is nobody.
#[derive(Clone, Debug, Default)]
pub struct EgressPolicy {
    /// Addresses that are called although they are not public, on any port, by `https` and `http`.
    pub allow: Vec<IpNet>,
    /// Who turns names into addresses; by default the operating system.
    pub resolver: Resolver,
}

type Lookup = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Turns a host's name into addresses. Whatever it answers is judged before anything is dialled.
#[derive(Clone, Default)]
pub struct Resolver(Option<Arc<dyn Fn(String) -> Lookup + Send + Sync>>);

impl Resolver {
    /// A resolver of one's own, instead of the operating system's.
    pub fn new<F, A>(lookup: F) -> Self
    where
        F: Fn(String) -> A + Send + Sync + 'static,
        A: Future<Output = io::Result<Vec<IpAddr>>> + Send + 'static,
    {
        Self(Some(Arc::new(move |host| Box::pin(lookup(host)))))
    }

    async fn lookup(&self, host: String) -> io::Result<Vec<IpAddr>> {
        match &self.0 {
            Some(own) => own(host).await,
            None => Ok(tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect()),
        }
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Resolver(own)" } else { "Resolver(system)" })
    }
}

/// The policy forbids a destination. The text names no address: it may be shown to whoever chose the
/// URL, and must not map our network for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("destination_blocked: {0}")]
pub(crate) struct Blocked(pub(crate) &'static str);

pub(crate) const NOT_PUBLIC: Blocked = Blocked("the address is not public, and the operator has not allowed it");

/// Why there is no answer.
pub(crate) enum NoAnswer {
    Blocked(Blocked),
    Fault(reqwest::Error),
}

/// The client that all requests go through.
pub(crate) struct Guard {
    allow: Arc<[IpNet]>,
    public: Client,
    inside: Client,
}

impl Guard {
    pub(crate) fn new(policy: EgressPolicy, connect: Duration) -> Result<Self, Error> {
        let allow: Arc<[IpNet]> = policy.allow.into();
        let tls = tls()?;
        let client = |reach| {
            let resolver = Vetted { resolver: policy.resolver.clone(), allow: Arc::clone(&allow), reach };
            client(resolver, tls.clone(), connect).map_err(Error::Client)
        };
        Ok(Self { public: client(Reach::Public)?, inside: client(Reach::Inside)?, allow })
    }

    /// Judges all that the URL itself tells: scheme, port, a literal address. What is left for the
    /// resolver is the reach of the answer.
    pub(crate) fn judge(&self, url: &Url) -> Result<Reach, Blocked> {
        if let Some(detail) = trick(url) {
            return Err(Blocked(detail));
        }
        let port = url.port_or_known_default().unwrap_or_default();
        let reach = if url.scheme() == "https" && PUBLIC_PORTS.contains(&port) { Reach::Public } else { Reach::Inside };
        let literal = match url.host() {
            Some(Host::Ipv4(ip)) => Some(IpAddr::V4(ip)),
            Some(Host::Ipv6(ip)) => Some(IpAddr::V6(ip)),
            Some(Host::Domain(_)) | None => None,
        };
        match (literal, reach) {
            (Some(ip), _) if !address::permits(&self.allow, reach, ip) => Err(self.refusal(reach, Some(ip))),
            (None, Reach::Inside) if self.allow.is_empty() => Err(self.refusal(reach, None)),
            (Some(_) | None, Reach::Public | Reach::Inside) => Ok(reach),
        }
    }

    fn refusal(&self, reach: Reach, ip: Option<IpAddr>) -> Blocked {
        let public = ip.is_none_or(|ip| address::permits(&self.allow, Reach::Public, ip));
        match reach {
            Reach::Inside if public => Blocked("public addresses are called by https on port 443 or 8443 only"),
            Reach::Inside | Reach::Public => NOT_PUBLIC,
        }
    }

    /// Sends the request; the answer's body is still to be read.
    pub(crate) async fn post(&self, url: Url, headers: Headers, body: Vec<u8>) -> Result<Response, NoAnswer> {
        let reach = self.judge(&url).map_err(NoAnswer::Blocked)?;
        let client = match reach {
            Reach::Public => &self.public,
            Reach::Inside => &self.inside,
        };
        let mut call = client.post(url).body(body);
        for (name, value) in headers {
            call = call.header(name, value);
        }
        let response = call.send().await.map_err(|error| NoAnswer::Fault(error.without_url()))?;
        match response.remote_addr() {
            Some(peer) if !address::permits(&self.allow, reach, peer.ip()) => Err(NoAnswer::Blocked(NOT_PUBLIC)),
            Some(_) | None => Ok(response),
        }
    }
}

/// Our own TLS set-up, so that an embedding program's process-wide choice is neither needed nor made.
fn tls() -> Result<rustls::ClientConfig, Error> {
    rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(BuilderVerifierExt::with_platform_verifier)
        .map(|builder| builder.with_no_client_auth())
        .map_err(Error::Tls)
}

fn client(resolver: Vetted, tls: rustls::ClientConfig, connect: Duration) -> reqwest::Result<Client> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    Client::builder()
        .tls_backend_preconfigured(tls)
        .dns_resolver(resolver)
        .default_headers(headers)
        .user_agent(concat!("KnowledgeOS-Webhooks/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .referer(false)
        .no_gzip()
        .no_brotli()
        .no_zstd()
        .no_deflate()
        .http1_only()
        .http1_max_headers(64)
        .connect_timeout(connect)
        .pool_max_idle_per_host(8)
        .pool_idle_timeout(Duration::from_secs(30))
        .build()
}

#[cfg(test)]
mod tests;
