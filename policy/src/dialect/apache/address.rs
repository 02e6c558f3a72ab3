//! Hosts that a jar may not be fetched from. Names are never resolved here: only what a host says by itself counts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a host is, as far as can be told without asking a name server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// Loopback, link-local, private, wildcard or multicast.
    Restricted,
    /// An address with a zone, which means something only on one machine.
    Zoned,
    /// A public address, or a name.
    Open,
}

/// Classifies a host as it stands in a URI.
pub(crate) fn classify(host: &str) -> Host {
    if let Some(literal) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        let (address, zone) = literal.split_once('%').unwrap_or((literal, ""));
        return match address.parse::<Ipv6Addr>() {
            Ok(address) if is_restricted(IpAddr::V6(address)) => Host::Restricted,
            Ok(_) if zone.parse::<u32>().is_err() && !zone.is_empty() => Host::Zoned,
            _ => Host::Open,
        };
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    if name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost") {
        return Host::Restricted;
    }
    match ipv4(name) {
        Some(address) if is_restricted(IpAddr::V4(address)) => Host::Restricted,
        _ => Host::Open,
    }
}

/// The ranges that the operator refuses: those of Java's `InetAddress` predicates.
fn is_restricted(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            v4.is_loopback()
                || v4.is_link_local()
                || v4.is_private()
                || v4.is_unspecified()
                || v4.is_multicast()
        }
        IpAddr::V6(v6) => {
            if let Some(v4) = v6.to_ipv4_mapped() {
                return is_restricted(IpAddr::V4(v4));
            }
            let [first, ..] = v6.segments();
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || first & 0xffc0 == 0xfe80
                || first & 0xffc0 == 0xfec0
        }
    }
}

/// An IPv4 address in the forms that resolvers read without asking: four numbers, or one decimal, octal or
/// hexadecimal number (`2130706433`, `0x7f000001`).
fn ipv4(host: &str) -> Option<Ipv4Addr> {
    let parts: Vec<&str> = host.splitn(5, '.').collect();
    match parts.as_slice() {
        [number] => {
            let decimal = number
                .bytes()
                .all(|b| b.is_ascii_digit())
                .then(|| number.parse::<u32>().ok());
            let bits = match (decimal.flatten(), number.get(..2)) {
                (Some(bits), _) => bits,
                (None, Some("0x" | "0X")) => u32::from_str_radix(number.get(2..)?, 16).ok()?,
                (None, _) if number.starts_with('0') => u32::from_str_radix(number, 8).ok()?,
                _ => return None,
            };
            Some(Ipv4Addr::from(bits))
        }
        [a, b, c, d] => {
            let mut bytes = [0_u8; 4];
            for (byte, part) in bytes.iter_mut().zip([a, b, c, d]) {
                if !part.bytes().all(|b| b.is_ascii_digit()) {
                    return None;
                }
                *byte = part
                    .trim_start_matches('0')
                    .parse()
                    .or_else(|error| {
                        if part.bytes().all(|b| b == b'0') {
                            Ok(0)
                        } else {
                            Err(error)
                        }
                    })
                    .ok()?;
            }
            Some(Ipv4Addr::from(bytes))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restricted_addresses_in_every_spelling() {
        for host in [
            "127.0.0.1",
            "127.9.9.9",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "224.0.0.1",
            "239.1.1.1",
            "010.0.0.1",
            "2130706433",
            "0x7f000001",
            "017700000001",
            "localhost",
            "LOCALHOST",
            "localhost.",
            "a.localhost",
            "[::1]",
            "[::]",
            "[fe80::1]",
            "[fe80::1%eth0]",
            "[fec0::1]",
            "[ff02::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:a00:1]",
            "0",
        ] {
            assert_eq!(classify(host), Host::Restricted, "{host}");
        }
        for host in [
            "example.com",
            "8.8.8.8",
            "172.32.0.1",
            "172.15.0.1",
            "192.169.0.1",
            "169.253.0.1",
            "11.0.0.1",
            "[2001:db8::1]",
            "[fc00::1]",
            "126.255.255.255",
            "128.0.0.1",
            "223.255.255.255",
            "[2001:db8::1%1]",
            "0.0.0.1",
        ] {
            assert_eq!(classify(host), Host::Open, "{host}");
        }
        assert_eq!(classify("[2001:db8::1%eth0]"), Host::Zoned);
    }
}
