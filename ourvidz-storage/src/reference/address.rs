use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(a: u16, b: u16, c: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), prefix)
}

/// IANA's special-purpose IPv4 networks that are not reachable by everyone.
const CLOSED_V4: [Ipv4Net; 16] = [
    v4(0, 0, 0, 0, 8),        // this network
    v4(10, 0, 0, 0, 8),       // private
    v4(100, 64, 0, 0, 10),    // carrier NAT; metadata service of Alibaba Cloud
    v4(127, 0, 0, 0, 8),      // loopback
    v4(168, 63, 129, 16, 32), // Azure's host, from inside
    v4(169, 254, 0, 0, 16),   // link-local; metadata services
    v4(172, 16, 0, 0, 12),    // private
    v4(192, 0, 0, 0, 24),     // protocol assignments; metadata service of Oracle Cloud
    v4(192, 0, 2, 0, 24),     // documentation
    v4(192, 88, 99, 0, 24),   // relays of 6to4
    v4(192, 168, 0, 0, 16),   // private
    v4(198, 18, 0, 0, 15),    // benchmarks
    v4(198, 51, 100, 0, 24),  // documentation
    v4(203, 0, 113, 0, 24),   // documentation
    v4(224, 0, 0, 0, 4),      // multicast
    v4(240, 0, 0, 0, 4),      // reserved and broadcast
];

/// The one part of IPv6 that is given out to be reached. Outside of it lie loopback, IPv4 inside IPv6, NAT64,
/// unique-local, link-local, site-local and multicast addresses.
const OPEN_V6: Ipv6Net = v6(0x2000, 0, 0, 3);

/// What is closed inside of it. A public IPv4 address behind 6to4 or Teredo is closed too.
const CLOSED_V6: [Ipv6Net; 4] = [
    v6(0x2001, 0, 0, 23),     // protocol assignments: Teredo, benchmarks, ORCHID
    v6(0x2001, 0xdb8, 0, 32), // documentation
    v6(0x2002, 0, 0, 16),     // 6to4
    v6(0x3fff, 0, 0, 20),     // documentation
];

/// Whether everyone on the internet reaches the same machine at `address`. When in doubt it is not.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !CLOSED_V4.iter().any(|net| net.contains(&address)),
        IpAddr::V6(address) => {
            OPEN_V6.contains(&address) && !CLOSED_V6.iter().any(|net| net.contains(&address))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn closed_networks_are_closed_from_end_to_end() {
        for net in CLOSED_V4 {
            assert!(!is_public(net.network().into()) && !is_public(net.broadcast().into()), "{net}");
        }
        for net in CLOSED_V6 {
            assert!(!is_public(net.network().into()) && !is_public(net.broadcast().into()), "{net}");
        }
    }

    #[test]
    fn neighbours_of_closed_networks_are_public() {
        let public = [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.15",
            "168.63.129.17",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.0.3.0",
            "192.88.98.255",
            "192.88.100.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "203.0.112.255",
            "203.0.114.0",
            "223.255.255.255",
            "2000::1",
            "2001:200::",
            "2001:db7:ffff::1",
            "2001:db9::",
            "2001:ffff::1",
            "2003::1",
            "2606:4700::1111",
            "3ffe::1",
            "3fff:1000::",
        ];
        for text in public {
            assert!(text.parse().is_ok_and(is_public), "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_ipv4_address_inside_ipv6_is_never_public(bits: u32) {
            let [a, b] = [(bits >> 16) as u16, bits as u16];
            let embedded = [
                Ipv6Addr::new(0, 0, 0, 0, 0, 0, a, b),           // compatible
                Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, a, b),      // mapped
                Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, a, b),      // translated
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, a, b),   // NAT64
                Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, a, b),   // NAT64, local
                Ipv6Addr::new(0x2002, a, b, 0, 0, 0, 0, 1),      // 6to4
                Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, !a, !b),    // Teredo
            ];
            for address in embedded {
                prop_assert!(!is_public(address.into()), "{address}");
            }
        }

        #[test]
        fn what_the_standard_library_calls_special_is_not_public(bits: u32) {
            let address = Ipv4Addr::from(bits);
            let special = address.is_private() || address.is_loopback() || address.is_link_local()
                || address.is_broadcast() || address.is_documentation() || address.is_multicast()
                || address.is_unspecified();
            prop_assert!(!(special && is_public(address.into())), "{address}");
        }
    }
}
