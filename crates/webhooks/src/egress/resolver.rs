//! The resolver that the HTTP client asks: it hands over only addresses that may be dialled, and they
//! are the ones that are dialled. Fails closed.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::time::timeout;

use super::address::{Reach, Rules};
use super::{NOT_PUBLIC, Resolver};

/// Most addresses of one name that are dialled, one after the other.
const MAX_ADDRESSES: usize = 3;
/// How long a name server may take.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) struct Vetted {
    pub(super) resolver: Resolver,
    pub(super) rules: Arc<Rules>,
    pub(super) reach: Reach,
}

impl Resolve for Vetted {
    fn resolve(&self, name: Name) -> Resolving {
        let (resolver, rules, reach) = (self.resolver.clone(), Arc::clone(&self.rules), self.reach);
        Box::pin(async move {
            let found = timeout(PATIENCE, resolver.lookup(name.as_str().to_owned())).await;
            let late =
                || io::Error::new(io::ErrorKind::TimedOut, format!("no name server answered within {PATIENCE:?}"));
            let found = found.map_err(|_elapsed| late())??;
            if found.is_empty() {
                return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address").into());
            }
            // One forbidden address among good ones is what rebinding looks like: none is used.
            if found.iter().any(|ip| !rules.permit(reach, *ip)) {
                return Err(NOT_PUBLIC.into());
            }
            let dial: Vec<SocketAddr> = found.into_iter().take(MAX_ADDRESSES).map(dialled).collect();
            Ok::<Addrs, _>(Box::new(dial.into_iter()))
        })
    }
}

/// Port 0 stands for the URL's.
const fn dialled(ip: IpAddr) -> SocketAddr {
    SocketAddr::new(ip, 0)
}
