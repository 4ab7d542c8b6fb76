//! The resolver that the HTTP client asks: it hands over only addresses that may be dialled, and they
//! are the ones that are dialled. Fails closed.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address::{Reach, permits};
use super::{NOT_PUBLIC, Resolver};

/// Most addresses of one name that are tried.
const MAX_ADDRESSES: usize = 16;

pub(super) struct Vetted {
    pub(super) resolver: Resolver,
    pub(super) allow: Arc<[IpNet]>,
    pub(super) reach: Reach,
}

impl Resolve for Vetted {
    fn resolve(&self, name: Name) -> Resolving {
        let (resolver, allow, reach) = (self.resolver.clone(), Arc::clone(&self.allow), self.reach);
        Box::pin(async move {
            let found = resolver.lookup(name.as_str().to_owned()).await?;
            if found.is_empty() {
                return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address").into());
            }
            // One forbidden address among good ones is what rebinding looks like: none is used.
            if found.iter().any(|ip| !permits(&allow, reach, *ip)) {
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
