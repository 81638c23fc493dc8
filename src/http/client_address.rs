//! Who really called, where a proxy that we trust stands in between.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;

const FORWARDED_FOR: &str = "x-forwarded-for";
/// Hops of a forwarded header that are looked at, from its end.
const HOPS_MAX: usize = 16;

/// The client's address: the peer's, or, where `is_trusted` knows the peer as a proxy, the last hop of
/// `X-Forwarded-For` that is none of ours. With no trusted proxies the header counts for nothing.
pub(super) fn client_address(peer: SocketAddr, headers: &HeaderMap, is_trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
    let mut client = peer.ip();
    let texts: Vec<&str> = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()).collect();
    let hops = texts.iter().flat_map(|text| text.split(',')).collect::<Vec<_>>();
    for hop in hops.iter().rev().take(HOPS_MAX) {
        if !is_trusted(client) {
            break;
        }
        match hop.trim().parse() {
            Ok(address) => client = address,
            Err(_) => break,
        }
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(peer: &str, forwarded: &str, expected: &str) {
        let mut headers = HeaderMap::new();
        headers.insert(FORWARDED_FOR, forwarded.parse().unwrap());
        let proxies = |address: IpAddr| address.to_string().starts_with("10.");
        let client = client_address(SocketAddr::new(peer.parse().unwrap(), 1), &headers, proxies);
        assert_eq!(client, expected.parse::<IpAddr>().unwrap(), "{peer} {forwarded}");
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        check("203.0.113.9", "198.51.100.1", "203.0.113.9");
        check("10.0.0.1", "198.51.100.1", "198.51.100.1");
        check("10.0.0.1", "192.0.2.66, 198.51.100.1, 10.0.0.2", "198.51.100.1");
        check("10.0.0.1", "nonsense", "10.0.0.1");
        check("10.0.0.1", "10.0.0.7", "10.0.0.7");
    }
}
