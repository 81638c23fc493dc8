//! A network in CIDR notation: an address and how many of its leading bits count.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `10.0.0.0/8`, `2001:db8::/32`, or one address. Its host bits are always zero, so that two equal
/// networks are written alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    network: IpAddr,
    prefix: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotACidr {
    #[error("a network is an IP address with a prefix length, such as 10.0.0.0/8")]
    Malformed,
    #[error("the prefix length of {0} can be at most {1}")]
    PrefixTooLong(IpAddr, u8),
    /// Masking it silently would be tempting; but `10.1.2.3/8` is more often a mistyped `/32`.
    #[error("it has bits set beyond its prefix; the whole network is written {0}")]
    HostBitsSet(Cidr),
}

impl Cidr {
    pub fn new(address: IpAddr, prefix: u8) -> Result<Self, NotACidr> {
        let bits = bits_of(address);
        if prefix > bits {
            return Err(NotACidr::PrefixTooLong(address, bits));
        }
        let network = Self { network: masked(address, prefix), prefix };
        if network.network != address {
            return Err(NotACidr::HostBitsSet(network));
        }
        Ok(network)
    }

    /// An IPv4 address that arrives over an IPv6 socket (`::ffff:10.0.0.1`) counts as what it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.network.is_ipv4() && masked(address, self.prefix) == self.network
    }

    /// Whether this is every address there is, which is not a statement about a network any more.
    pub fn is_everything(&self) -> bool {
        self.prefix == 0
    }
}

fn bits_of(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// `address` with all but its first `prefix` bits cleared. A shift by the whole width overflows; then nothing is kept.
fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    }
}

impl FromStr for Cidr {
    type Err = NotACidr;

    fn from_str(text: &str) -> Result<Self, NotACidr> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NotACidr::Malformed)?;
        let prefix = match prefix {
            None => bits_of(address),
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().map_err(|_| NotACidr::Malformed)?,
            Some(_) => return Err(NotACidr::Malformed),
        };
        Self::new(address, prefix)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

impl TryFrom<String> for Cidr {
    type Error = NotACidr;

    fn try_from(text: String) -> Result<Self, NotACidr> {
        text.parse()
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> Self {
        cidr.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(network: &str, address: &str, inside: bool) {
        let network: Cidr = network.parse().unwrap();
        assert_eq!(network.contains(address.parse().unwrap()), inside, "{network} {address}");
    }

    #[test]
    fn an_address_is_inside_when_the_prefix_agrees() {
        check("10.0.0.0/8", "10.255.255.255", true);
        check("10.0.0.0/8", "11.0.0.0", false);
        check("192.168.4.0/22", "192.168.7.255", true);
        check("192.168.4.0/22", "192.168.8.0", false);
        check("0.0.0.0/0", "203.0.113.9", true);
        check("203.0.113.9", "203.0.113.9", true);
        check("203.0.113.9/32", "203.0.113.8", false);
        check("2001:db8::/32", "2001:db8:ffff::1", true);
        check("2001:db8::/32", "2001:db9::1", false);
        check("::/0", "2001:db8::1", true);
        check("::1", "::1", true);
    }

    #[test]
    fn the_families_are_apart_except_for_mapped_addresses() {
        check("0.0.0.0/0", "2001:db8::1", false);
        check("::/0", "203.0.113.9", false);
        check("10.0.0.0/8", "::ffff:10.1.2.3", true);
    }

    #[track_caller]
    fn refused(text: &str, why: &str) {
        assert_eq!(text.parse::<Cidr>().unwrap_err().to_string(), why, "{text}");
    }

    #[test]
    fn what_is_no_network_is_refused() {
        let malformed = "a network is an IP address with a prefix length, such as 10.0.0.0/8";
        for text in ["", "10.0.0.0/", "10.0.0/8", "host/8", "10.0.0.0/8/8", "10.0.0.0/+8", "10.0.0.0/999", " 10.0.0.0/8"] {
            refused(text, malformed);
        }
        refused("10.0.0.0/33", "the prefix length of 10.0.0.0 can be at most 32");
        refused("::/129", "the prefix length of :: can be at most 128");
        refused("10.1.2.3/8", "it has bits set beyond its prefix; the whole network is written 10.0.0.0/8");
    }

    #[test]
    fn what_is_written_reads_back() {
        for text in ["10.0.0.0/8", "2001:db8::/32", "203.0.113.9/32"] {
            assert_eq!(text.parse::<Cidr>().unwrap().to_string(), text);
        }
    }
}
