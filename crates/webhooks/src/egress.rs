//! The one guarded way out. Owns who may be called (addresses, ports, schemes) and the HTTP client
//! that keeps to it; knows no platform and no message.
//!
//! An address written in the URL is judged there, as the connector asks no resolver about it. A name
//! is judged in the resolver, which hands over exactly the addresses that are dialled: a name that
//! answers differently the next time gains nothing. The peer that answered is looked at once more, and
//! no connection is used for long, so that a name is asked about again. An operator who sends everything
//! through a proxy hands the judgement of names over to it; literal addresses are judged all the same.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ipnet::{IpNet, Ipv6Net};
use reqwest::header::{ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, Proxy, Response, redirect};
use rustls_platform_verifier::BuilderVerifierExt;
use url::{Host, Url};

use crate::channel::Headers;
use crate::draft::trick;
use crate::error::Error;

mod address;
mod resolver;

pub(crate) use address::Reach;
use address::Rules;
use resolver::Vetted;

/// Ports of public addresses that may be called.
const PUBLIC_PORTS: [u16; 2] = [443, 8443];

/// Connections to one host that are kept open while nothing is sent: more than usually go to one webhook at
/// once, or connections would be opened and closed all the time.
const MAX_IDLE: usize = 32;

/// How long a client's connections are used. After that new ones are made, and the names asked about
/// again; those in use end with their answer.
const MAX_AGE: Duration = Duration::from_secs(90);

/// Whom the program may call beside the public internet, and how. The default is nobody, directly.
#[derive(Clone, Debug, Default)]
pub struct EgressPolicy {
    /// Addresses that are called although they are not public, on any port, by `https` and `http`.
    pub allow: Vec<IpNet>,
    /// Addresses that are never called: the program's own.
    pub deny: Vec<IpNet>,
    /// Ports of public addresses that are called beside 443 and 8443, by `https`.
    pub ports: Vec<u16>,
    /// The prefix under which this network translates IPv6 to IPv4 (RFC 6052), when it has its own.
    pub nat64: Option<Ipv6Net>,
    /// A proxy that every call goes through (`http://user:password@host:port`). It resolves the
    /// names, and so must refuse private addresses itself.
    pub proxy: Option<Url>,
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
    rules: Arc<Rules>,
    ports: Vec<u16>,
    proxied: bool,
    public: Line,
    inside: Line,
}

impl Guard {
    pub(crate) fn new(policy: EgressPolicy, connect: Duration) -> Result<Self, Error> {
        let EgressPolicy { allow, deny, ports, nat64, proxy, resolver } = policy;
        let rules = Arc::new(Rules { allow, deny, nat64 });
        let tls = tls()?;
        let line = |reach| {
            let vetted = Vetted { resolver: resolver.clone(), rules: Arc::clone(&rules), reach };
            Line::new(Recipe { vetted: Arc::new(vetted), tls: tls.clone(), proxy: proxy.clone(), connect })
        };
        Ok(Self { public: line(Reach::Public)?, inside: line(Reach::Inside)?, proxied: proxy.is_some(), rules, ports })
    }

    /// Judges all that the URL itself tells: scheme, port, a literal address. What is left for the
    /// resolver is the reach of the answer.
    pub(crate) fn judge(&self, url: &Url) -> Result<Reach, Blocked> {
        if let Some(detail) = trick(url) {
            return Err(Blocked(detail));
        }
        let port = url.port_or_known_default().unwrap_or_default();
        let usual = PUBLIC_PORTS.contains(&port) || self.ports.contains(&port);
        let reach = if url.scheme() == "https" && usual { Reach::Public } else { Reach::Inside };
        let literal = match url.host() {
            Some(Host::Ipv4(ip)) => Some(IpAddr::V4(ip)),
            Some(Host::Ipv6(ip)) => Some(IpAddr::V6(ip)),
            Some(Host::Domain(_)) | None => None,
        };
        match (literal, reach) {
            (Some(ip), _) if !self.rules.permit(reach, ip) => Err(self.refusal(reach, Some(ip))),
            (None, Reach::Inside) if self.rules.allow.is_empty() => Err(self.refusal(reach, None)),
            (Some(_) | None, Reach::Public | Reach::Inside) => Ok(reach),
        }
    }

    fn refusal(&self, reach: Reach, ip: Option<IpAddr>) -> Blocked {
        let public = ip.is_none_or(|ip| self.rules.permit(Reach::Public, ip));
        match reach {
            Reach::Inside if public => Blocked("public addresses are called by https on port 443 or 8443 only"),
            Reach::Inside | Reach::Public => NOT_PUBLIC,
        }
    }

    /// Sends the request; the answer's body is still to be read.
    pub(crate) async fn post(&self, url: Url, headers: Headers, body: Vec<u8>) -> Result<Response, NoAnswer> {
        let reach = self.judge(&url).map_err(NoAnswer::Blocked)?;
        let line = match reach {
            Reach::Public => &self.public,
            Reach::Inside => &self.inside,
        };
        let mut call = line.client().post(url).body(body);
        for (name, value) in headers {
            call = call.header(name, value);
        }
        let response = call.send().await.map_err(|error| NoAnswer::Fault(error.without_url()))?;
        match response.remote_addr() {
            Some(peer) if !self.proxied && !self.rules.permit(reach, peer.ip()) => Err(NoAnswer::Blocked(NOT_PUBLIC)),
            Some(_) | None => Ok(response),
        }
    }
}

/// Clients that follow one another.
struct Line {
    recipe: Recipe,
    current: Mutex<(Client, Instant)>,
}

/// What a client is made of.
struct Recipe {
    vetted: Arc<Vetted>,
    tls: rustls::ClientConfig,
    proxy: Option<Url>,
    connect: Duration,
}

impl Line {
    fn new(recipe: Recipe) -> Result<Self, Error> {
        let first = recipe.client().map_err(Error::Client)?;
        Ok(Self { recipe, current: Mutex::new((first, Instant::now())) })
    }

    fn client(&self) -> Client {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.1.elapsed() > MAX_AGE {
            match self.recipe.client() {
                Ok(next) => *current = (next, Instant::now()),
                Err(error) => tracing::warn!(%error, "the HTTP client cannot be renewed; the old one goes on"),
            }
        }
        current.0.clone()
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

impl Recipe {
    fn client(&self) -> reqwest::Result<Client> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        let client = Client::builder()
            .tls_backend_preconfigured(self.tls.clone())
            .default_headers(headers)
            .user_agent(concat!("KnowledgeOS-Webhooks/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .http1_only()
            .connect_timeout(self.connect)
            .pool_max_idle_per_host(MAX_IDLE)
            .pool_idle_timeout(Duration::from_secs(30));
        match &self.proxy {
            // The proxy's own name is the operator's, and resolved as the system does.
            Some(proxy) => client.proxy(Proxy::all(proxy.clone())?).build(),
            None => client.no_proxy().dns_resolver(Arc::clone(&self.vetted)).build(),
        }
    }
}

#[cfg(test)]
mod tests;
