//! Where the controller goes for users. Whoever may write a SessionJob names a URI, and the controller stands where they may not:
//! beside cloud metadata services, its own loopback and the API server. Checked are the addresses that a name leads to, at the very
//! look-up that the connection is made with, and every redirect.

use std::error::Error as StdError;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// What the flag is called that lets everything through.
pub const FLAG: &str = "--allow-local-fetch";

/// Metadata services outside of link-local addresses: Azure's and Alibaba Cloud's, and AWS's by IPv6.
const METADATA: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// Which addresses files are fetched from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// All: in a user's own pod, and where the flag says so.
    Anywhere,
    /// All but loopback, link-local and metadata addresses, and the API server.
    Outside {
        /// Addresses of the API server. Without a port, nothing else is at that address.
        api_server: Vec<(IpAddr, Option<u16>)>,
        /// What is reached all the same.
        but: Vec<IpAddr>,
    },
}

impl Reach {
    /// Outside only. `api_server`: the host and port that the controller reaches it by, as in a kubeconfig.
    pub fn outside(api_server: Option<(&str, u16)>) -> Self {
        let service = std::env::var("KUBERNETES_SERVICE_HOST").ok();
        let service = service.and_then(|host| Some((host.parse().ok()?, None)));
        let named = api_server.and_then(|(host, port)| {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            Some((host.parse().ok()?, Some(port)))
        });
        Self::Outside {
            api_server: service.into_iter().chain(named).collect(),
            but: Vec::new(),
        }
    }

    /// Whether a URL may be asked for, as far as it says. What a name leads to is seen at its look-up.
    pub(super) fn check_url(&self, url: &Url) -> Result<(), Forbidden> {
        let host = url.host_str().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let Ok(address) = host.parse::<IpAddr>() else {
            return Ok(());
        };
        self.check(host, address, url.port_or_known_default())
    }

    fn check(&self, host: &str, address: IpAddr, port: Option<u16>) -> Result<(), Forbidden> {
        let Self::Outside { api_server, but } = self else {
            return Ok(());
        };
        let address = plain(address);
        if but.contains(&address) {
            return Ok(());
        }
        let is_api_server = |(known, at): &(IpAddr, Option<u16>)| {
            plain(*known) == address && at.is_none_or(|at| Some(at) == port)
        };
        let what = if api_server.iter().any(is_api_server) {
            "the API server"
        } else if let Some(what) = local(address) {
            what
        } else {
            return Ok(());
        };
        Err(Forbidden {
            host: host.to_owned(),
            address,
            what,
        })
    }
}

/// What an address is that nothing is fetched from.
fn local(address: IpAddr) -> Option<&'static str> {
    if METADATA.contains(&address) {
        return Some("a cloud's metadata service");
    }
    let (loopback, link_local, none) = match address {
        IpAddr::V4(v4) => (
            v4.is_loopback(),
            v4.is_link_local(),
            v4.octets().first() == Some(&0) || v4.is_broadcast() || v4.is_multicast(),
        ),
        IpAddr::V6(v6) => (
            v6.is_loopback(),
            v6.is_unicast_link_local(),
            v6.is_unspecified() || v6.is_multicast(),
        ),
    };
    if loopback {
        Some("the controller itself (loopback)")
    } else if link_local {
        Some("a link-local address, where clouds keep credentials")
    } else if none {
        Some("no address of a server")
    } else {
        None
    }
}

/// An IPv4 address that is written as one of IPv6 is that address: mapped, compatible, or by NAT64.
fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else {
        return address;
    };
    let octets = v6.octets();
    let is_written_so = match octets {
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ..]
        | [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, ..] => true,
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ..] => !v6.is_loopback() && !v6.is_unspecified(),
        _ => false,
    };
    let [.., one, two, three, four] = octets;
    if is_written_so {
        IpAddr::V4(Ipv4Addr::new(one, two, three, four))
    } else {
        address
    }
}

/// An address that nothing is fetched from for users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Forbidden {
    host: String,
    address: IpAddr,
    what: &'static str,
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            host,
            address,
            what,
        } = self;
        if *host != address.to_string() {
            write!(f, "{host} is at ")?;
        }
        write!(
            f,
            "{address}, {what}; the controller fetches nothing from there for users. Put the jar elsewhere or into the session cluster's \
             spec.jars, or have the controller started with {FLAG}"
        )
    }
}

impl StdError for Forbidden {}

impl Forbidden {
    /// The one that an error was caused by, if it was.
    pub(super) fn cause_of<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(found) = error.downcast_ref::<Self>() {
                return Some(found);
            }
            cause = error.source();
        }
        None
    }
}

/// Looks names up and leaves out what may not be reached; what is left is what the connection is made to.
pub(super) struct Resolver(pub(super) Arc<Reach>);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = Arc::clone(&self.0);
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            let mut forbidden = None;
            let mut open: Vec<SocketAddr> = Vec::new();
            for address in found {
                match reach.check(&host, address.ip(), None) {
                    Ok(()) => open.push(address),
                    Err(why) => forbidden = Some(why),
                }
            }
            match forbidden {
                Some(why) if open.is_empty() => Err(why.into()),
                _ => Ok(Box::new(open.into_iter()) as Addrs),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outside() -> Reach {
        Reach::Outside {
            api_server: vec![
                ("10.96.0.1".parse().unwrap(), None),
                ("10.245.0.1".parse().unwrap(), Some(6443)),
            ],
            but: Vec::new(),
        }
    }

    fn says(url: &str) -> Option<String> {
        let url = url.parse().unwrap();
        outside().check_url(&url).err().map(|why| why.to_string())
    }

    #[test]
    fn what_only_the_controller_reaches_is_refused_however_it_is_written() {
        for (url, expected) in [
            (
                "http://169.254.169.254/latest/meta-data/a.jar",
                "link-local",
            ),
            ("http://2852039166/a.jar", "169.254.169.254, a link-local"),
            ("http://[::ffff:169.254.169.254]/a.jar", "link-local"),
            ("http://[64:ff9b::a9fe:a9fe]/a.jar", "link-local"),
            ("http://[fe80::1]/a.jar", "link-local"),
            ("http://[fd00:ec2::254]/a.jar", "metadata"),
            ("http://168.63.129.16/a.jar", "metadata"),
            ("http://127.0.0.1:8080/a.jar", "loopback"),
            ("http://127.1/a.jar", "loopback"),
            ("http://[::1]/a.jar", "loopback"),
            ("http://0.0.0.0/a.jar", "no address of a server"),
            ("https://10.96.0.1/a.jar", "the API server"),
            ("https://10.245.0.1:6443/a.jar", "the API server"),
        ] {
            let said = says(url).unwrap_or_default();
            assert!(said.contains(expected), "{url}: {said}");
            assert!(said.ends_with("started with --allow-local-fetch"), "{said}");
        }
        for url in [
            "https://repo.example.org/a.jar",
            "http://10.0.0.7/a.jar",
            "http://192.168.1.1/a.jar",
            "http://[2001:db8::1]/a.jar",
            "http://10.245.0.1:8000/a.jar",
        ] {
            assert_eq!(says(url), None);
        }
        let anywhere = Reach::Anywhere.check_url(&"http://127.0.0.1/a.jar".parse().unwrap());
        assert_eq!(anywhere, Ok(()));
    }

    #[test]
    fn the_api_server_is_known_by_what_a_kubeconfig_says() {
        let Reach::Outside { api_server, .. } = Reach::outside(Some(("10.245.0.1", 6443))) else {
            unreachable!()
        };
        assert!(api_server.contains(&("10.245.0.1".parse().unwrap(), Some(6443))));
    }
}
