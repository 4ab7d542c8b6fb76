use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use reqwest::dns::Resolve;

use super::*;

fn guard(allow: &[&str]) -> Guard {
    let allow = allow.iter().map(|net| net.parse().unwrap()).collect();
    Guard::new(EgressPolicy { allow, ..EgressPolicy::default() }, Duration::from_secs(1)).unwrap()
}

fn judged(guard: &Guard, url: &str) -> Result<Reach, String> {
    let url = Url::parse(url).map_err(|error| error.to_string())?;
    guard.judge(&url).map_err(|blocked| blocked.to_string())
}

/// All that has ever been used to talk a server into calling itself.
const FORBIDDEN: &str = include_str!("forbidden.txt");

#[test]
fn no_known_trick_gets_through() {
    let guard = guard(&[]);
    assert!(FORBIDDEN.lines().count() >= 150);
    for url in FORBIDDEN.lines() {
        let verdict = judged(&guard, url);
        assert!(verdict.is_err(), "{url}: {verdict:?}");
        let told = verdict.unwrap_err();
        assert!(!told.contains("127.") && !told.contains("169."), "{told}");
    }
}

#[test]
fn public_destinations_are_called_by_https_on_two_ports() {
    let guard = guard(&[]);
    for url in [
        "https://example.com/hook?x=1",
        "https://example.com:8443/",
        "https://8.8.8.8/",
        "https://пример.рф/",
        "https://[2606:4700::1111]/",
        "https://[64:ff9b::808:808]/",
        "https://[::ffff:8.8.8.8]/",
    ] {
        assert_eq!(judged(&guard, url), Ok(Reach::Public), "{url}");
    }
}

#[test]
fn what_the_operator_allows_is_called_by_any_scheme_on_any_port_and_nothing_else_is() {
    let guard = guard(&["127.0.0.0/8", "fd00::/8"]);
    for url in [
        "http://127.0.0.1:9000/",
        "https://127.0.0.1:1/",
        "http://[fd00::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://receiver:9000/",
    ] {
        assert_eq!(judged(&guard, url), Ok(Reach::Inside), "{url}");
    }
    assert_eq!(judged(&guard, "https://127.0.0.1/"), Ok(Reach::Public));
    for url in [
        "http://10.0.0.1/",
        "https://10.0.0.1/",
        "http://8.8.8.8/",
        "https://8.8.8.8:9000/",
        "http://127.0.0.1:0/",
        "http://u@127.0.0.1/",
    ] {
        assert!(judged(&guard, url).is_err(), "{url}");
    }
}

fn vetted(reach: Reach, allow: &[&str], answers: &'static [&'static [&'static str]]) -> Vetted {
    let asked = Arc::new(AtomicUsize::new(0));
    let resolver = Resolver::new(move |_host| {
        let turn = asked.fetch_add(1, Ordering::SeqCst);
        let answer = answers[turn].iter().map(|ip| ip.parse().unwrap()).collect();
        async move { Ok(answer) }
    });
    let allow = allow.iter().map(|net| net.parse().unwrap()).collect();
    Vetted { resolver, rules: Arc::new(Rules { allow, ..Rules::default() }), reach }
}

async fn dialled(vetted: &Vetted) -> Result<Vec<String>, String> {
    let found = vetted.resolve("rebind.example".parse().unwrap()).await.map_err(|error| error.to_string())?;
    Ok(found.map(|address| address.ip().to_string()).collect())
}

#[tokio::test]
async fn a_name_that_turns_private_is_refused_the_moment_it_does() {
    let vetted = vetted(Reach::Public, &[], &[&["8.8.8.8"], &["127.0.0.1"], &["8.8.8.8", "2606:4700::1111"]]);
    assert_eq!(dialled(&vetted).await, Ok(vec!["8.8.8.8".to_owned()]));
    assert_eq!(dialled(&vetted).await, Err(NOT_PUBLIC.to_string()));
    assert_eq!(dialled(&vetted).await.unwrap().len(), 2);
}

#[tokio::test]
async fn one_forbidden_address_spoils_the_whole_answer_and_an_empty_one_is_none() {
    let vetted = vetted(Reach::Public, &[], &[&["8.8.8.8", "10.0.0.1"], &["8.8.8.8", "::1"], &[]]);
    assert_eq!(dialled(&vetted).await, Err(NOT_PUBLIC.to_string()));
    assert_eq!(dialled(&vetted).await, Err(NOT_PUBLIC.to_string()));
    assert_eq!(dialled(&vetted).await, Err("the name has no address".to_owned()));
}

#[tokio::test]
async fn by_http_a_name_may_only_lead_inside() {
    let vetted = vetted(Reach::Inside, &["10.0.0.0/8"], &[&["10.1.2.3"], &["8.8.8.8"], &["10.1.2.3", "8.8.8.8"]]);
    assert_eq!(dialled(&vetted).await, Ok(vec!["10.1.2.3".to_owned()]));
    assert!(dialled(&vetted).await.is_err());
    assert!(dialled(&vetted).await.is_err());
}

#[test]
fn the_network_s_own_translation_is_seen_through_at_every_length() {
    // The table of RFC 6052, section 2.4, for 192.0.2.33, and the same for a private address.
    for (prefix, documentation, private) in [
        ("2001:500::/32", "2001:500:c000:221::", "2001:500:a00:1::"),
        ("2a00:122::/40", "2a00:122:c0:2:21::", "2a00:122:a:0:1::"),
        ("2a00:122:344::/56", "2a00:122:344:c0:0:221::", "2a00:122:344:a:0:1::"),
        ("2a00:122:344::/64", "2a00:122:344::c0:2:2100:0", "2a00:122:344::a:0:100:0"),
        ("2a00:122:344::/96", "2a00:122:344::192.0.2.33", "2a00:122:344::10.0.0.1"),
    ] {
        let own = Rules { nat64: Some(prefix.parse().unwrap()), ..Rules::default() };
        for hidden in [documentation, private] {
            let ip: IpAddr = hidden.parse().unwrap();
            assert!(!own.permit(Reach::Public, ip), "{prefix} {hidden}");
        }
    }
    let own = Rules { nat64: Some("2a00:122:344::/96".parse().unwrap()), ..Rules::default() };
    assert!(own.permit(Reach::Public, "2a00:122:344::8.8.8.8".parse().unwrap()));
}

#[tokio::test(start_paused = true)]
async fn a_name_server_that_never_answers_is_not_waited_for() {
    let resolver = Resolver::new(|_host| std::future::pending());
    let vetted = Vetted { resolver, rules: Arc::default(), reach: Reach::Public };
    assert!(dialled(&vetted).await.unwrap_err().contains("no name server answered"));
}

#[test]
fn further_ports_are_for_public_addresses_by_https() {
    let guard =
        Guard::new(EgressPolicy { ports: vec![9443], ..EgressPolicy::default() }, Duration::from_secs(1)).unwrap();
    assert_eq!(judged(&guard, "https://example.com:9443/"), Ok(Reach::Public));
    for url in ["http://example.com:9443/", "https://10.0.0.1:9443/", "https://example.com:9444/"] {
        assert!(judged(&guard, url).is_err(), "{url}");
    }
}

/// The same rules, told a second time in another way.
fn is_special(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation()
        || ip.is_broadcast()
        || matches!((a, b, c), (0 | 224.., _, _) | (100, 64..=127, _) | (192, 0, 0) | (192, 88, 99) | (198, 18 | 19, _))
        || ip == Ipv4Addr::new(168, 63, 129, 16)
}

proptest! {
    #[test]
    fn every_ipv4_address_is_judged_alike_in_all_its_clothes(bits in prop_oneof![
        any::<u32>(),
        (prop::sample::select(vec![0u32, 0x0a00_0000, 0x6440_0000, 0x7f00_0000, 0xa9fe_0000, 0xac10_0000, 0xc000_0000, 0xc000_0200,
            0xc058_6300, 0xc0a8_0000, 0xc612_0000, 0xc633_6400, 0xcb00_7100, 0xe000_0000, 0xa83f_8110]), any::<u32>(), 8u32..32)
            .prop_map(|(net, host, shift)| net ^ (host.checked_shr(shift).unwrap_or(0))),
    ]) {
        let ip = Ipv4Addr::from(bits);
        let public = !is_special(ip);
        let mapped = ip.to_ipv6_mapped();
        let nat64 = Ipv6Addr::from((0x0064_ff9b_u128 << 96) | u128::from(bits));
        for ip in [IpAddr::V4(ip), IpAddr::V6(mapped), IpAddr::V6(nat64)] {
            prop_assert_eq!(Rules::default().permit(Reach::Public, ip), public, "{}", ip);
            prop_assert!(!Rules::default().permit(Reach::Inside, ip));
            let everything = Rules { allow: vec!["0.0.0.0/0".parse().unwrap()], ..Rules::default() };
            prop_assert!(everything.permit(Reach::Inside, ip));
            let nothing = Rules { deny: vec!["0.0.0.0/0".parse().unwrap()], ..everything };
            prop_assert!(!nothing.permit(Reach::Public, ip));
        }
    }

    #[test]
    fn no_ipv6_address_outside_the_public_block_is_called(bits in any::<u128>()) {
        let ip = Ipv6Addr::from(bits);
        let first = ip.segments()[0];
        if Rules::default().permit(Reach::Public, IpAddr::V6(ip)) {
            prop_assert!((0x2000..=0x3fff).contains(&first) && first != 0x2002, "{ip}");
        }
    }
}
