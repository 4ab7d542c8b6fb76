//! Which addresses are public, by the registries of special-purpose addresses; and which of them may
//! be dialled. Asks no library's `is_global`: those differ, and err on the side of yes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// How far a request may reach, by its scheme and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Public addresses, and those the operator allows.
    Public,
    /// Only addresses the operator allows.
    Inside,
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(first: u16, second: u16, third: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(first, second, third, 0, 0, 0, 0, 0), prefix)
}

const NOT_PUBLIC_V4: [Ipv4Net; 16] = [
    v4(0, 0, 0, 0, 8),
    v4(10, 0, 0, 0, 8),
    v4(100, 64, 0, 0, 10),
    v4(127, 0, 0, 0, 8),
    v4(169, 254, 0, 0, 16),
    v4(172, 16, 0, 0, 12),
    v4(192, 0, 0, 0, 24),
    v4(192, 0, 2, 0, 24),
    v4(192, 88, 99, 0, 24),
    v4(192, 168, 0, 0, 16),
    v4(198, 18, 0, 0, 15),
    v4(198, 51, 100, 0, 24),
    v4(203, 0, 113, 0, 24),
    v4(224, 0, 0, 0, 4),
    v4(240, 0, 0, 0, 4),
    // Azure's host, which answers every virtual machine with its secrets.
    v4(168, 63, 129, 16, 32),
];

/// All of IPv6 that is given out to the public; the exceptions below lie within.
const GLOBAL_V6: Ipv6Net = v6(0x2000, 0, 0, 3);

const NOT_PUBLIC_V6: [Ipv6Net; 4] =
    [v6(0x2001, 0, 0, 23), v6(0x2001, 0xdb8, 0, 32), v6(0x2002, 0, 0, 16), v6(0x3fff, 0, 0, 20)];

/// NAT64 everywhere: the last 32 bits are an IPv4 address, and it is that address which is reached.
const NAT64: Ipv6Net = v6(0x64, 0xff9b, 0, 96);

/// What the operator says of addresses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    /// May be dialled although they are not public.
    pub(crate) allow: Vec<IpNet>,
    /// May never be dialled, whatever else holds: our own addresses.
    pub(crate) deny: Vec<IpNet>,
    /// The prefix under which this network translates to IPv4, beside the well-known one.
    pub(crate) nat64: Option<Ipv6Net>,
}

impl Rules {
    /// Whether the address may be dialled.
    pub(crate) fn permit(&self, reach: Reach, ip: IpAddr) -> bool {
        let ip = self.reached(ip);
        let in_one_of = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&ip));
        !in_one_of(&self.deny) && (in_one_of(&self.allow) || (reach == Reach::Public && is_public(ip)))
    }

    /// The address that is reached in the end: IPv4 in IPv6 clothing is judged as IPv4.
    fn reached(&self, ip: IpAddr) -> IpAddr {
        match ip.to_canonical() {
            IpAddr::V6(v6) => {
                let prefix = [Some(NAT64), self.nat64].into_iter().flatten().find(|prefix| prefix.contains(&v6));
                prefix.map_or(IpAddr::V6(v6), |prefix| IpAddr::V4(embedded(v6, prefix.prefix_len())))
            }
            v4 @ IpAddr::V4(_) => v4,
        }
    }
}

/// The IPv4 address after a prefix of this length; bits 64 to 71 are skipped (RFC 6052, section 2.2).
fn embedded(ip: Ipv6Addr, prefix: u8) -> Ipv4Addr {
    let octets = ip.octets();
    let mut after =
        octets.iter().enumerate().skip(usize::from(prefix / 8)).filter(|(at, _)| *at != 8).map(|(_, byte)| *byte);
    let mut next = || after.next().unwrap_or_default();
    Ipv4Addr::new(next(), next(), next(), next())
}

fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !NOT_PUBLIC_V4.iter().any(|net| net.contains(&ip)),
        IpAddr::V6(ip) => {
            GLOBAL_V6.contains(&ip) && !NOT_PUBLIC_V6.iter().any(|net| net.contains(&ip)) && !is_isatap(ip)
        }
    }
}

/// ISATAP under a global prefix: the last 32 bits are an IPv4 address inside somebody's network.
fn is_isatap(ip: Ipv6Addr) -> bool {
    let [_, _, _, _, flags, marker, _, _] = ip.segments();
    flags & !0x0200 == 0 && marker == 0x5efe
}
