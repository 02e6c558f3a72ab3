//! The addresses of one node: one free block 10.N.0.0/16 of this machine, and how it is cut. Links and routes are made
//! in [`super::ground`].

use std::net::Ipv4Addr;

use super::identity::Id;

/// First and number of the blocks that are tried. Low ones are common in offices and clouds, 10.96 and 10.244 are
/// those of other local clusters.
const FIRST: u8 = 130;
const BLOCKS: u8 = 110;

/// One block 10.N.0.0/16: pods, Services, and the link between the host and the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    block: u8,
}

impl Network {
    /// The host's end of the link. The API server listens here, and so may whatever pods shall reach on this machine.
    pub const fn host(self) -> Ipv4Addr {
        Ipv4Addr::new(10, self.block, 255, 1)
    }

    /// The node's end of the link: the kubelet, and every Service of type NodePort.
    pub const fn node(self) -> Ipv4Addr {
        Ipv4Addr::new(10, self.block, 255, 2)
    }

    /// The link's own range.
    pub fn link(self) -> String {
        format!("10.{}.255.0/30", self.block)
    }

    /// Addresses of pods.
    pub fn pods(self) -> String {
        format!("10.{}.0.0/24", self.block)
    }

    /// Addresses of Services.
    pub fn services(self) -> String {
        format!("10.{}.64.0/18", self.block)
    }

    /// The first address of the Services, which is always that of the API server.
    pub const fn kubernetes(self) -> Ipv4Addr {
        Ipv4Addr::new(10, self.block, 64, 1)
    }

    /// The address of the cluster's DNS server.
    pub const fn dns(self) -> Ipv4Addr {
        Ipv4Addr::new(10, self.block, 64, 10)
    }

    /// All of it, as it is kept in the data folder.
    pub fn block(self) -> String {
        format!("10.{}.0.0/16", self.block)
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let block = text.trim().strip_prefix("10.")?.strip_suffix(".0.0/16")?;
        Some(Self {
            block: block.parse().ok()?,
        })
    }

    /// The blocks in the order in which this node tries them: each node starts elsewhere.
    pub(super) fn candidates(id: &Id) -> impl Iterator<Item = Self> {
        let start = id.below(BLOCKS);
        (0..BLOCKS).map(move |step| {
            let offset = (u16::from(start) + u16::from(step)) % u16::from(BLOCKS);
            Self {
                block: FIRST.saturating_add(u8::try_from(offset).unwrap_or_default()),
            }
        })
    }

    /// What of this machine lies in the block: a route, an address or a resolver, as `routes` and `resolvers` name it.
    pub(super) fn conflict(self, taken: &[Range]) -> Option<&Range> {
        let first = u32::from(Ipv4Addr::new(10, self.block, 0, 0));
        let last = first | 0xffff;
        taken
            .iter()
            .find(|range| range.first <= last && first <= range.last)
    }
}

/// Addresses that are in use, with the words that say so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Range {
    first: u32,
    last: u32,
    pub said: String,
}

impl Range {
    fn parse(text: &str, said: &str) -> Option<Self> {
        let (address, length) = text.split_once('/').unwrap_or((text, "32"));
        let address = u32::from(address.parse::<Ipv4Addr>().ok()?);
        let length = length.parse::<u32>().ok().filter(|length| *length <= 32)?;
        let host = u32::MAX.checked_shr(length).unwrap_or(0);
        Some(Self {
            first: address & !host,
            last: address | host,
            said: said.trim().to_owned(),
        })
    }

    /// From `ip -4 -o route show table all`: a kind may stand before the range, a gateway after it.
    pub(super) fn routes(text: &str) -> Vec<Self> {
        text.lines()
            .flat_map(|line| {
                let words: Vec<&str> = line.split_whitespace().collect();
                let target = words
                    .iter()
                    .take(2)
                    .find_map(|word| Self::parse(word, line));
                let gateway = words.windows(2).find_map(|pair| match pair {
                    ["via", address] => Self::parse(address, line),
                    _ => None,
                });
                [target, gateway]
            })
            .flatten()
            .collect()
    }

    /// From /etc/resolv.conf.
    pub(super) fn resolvers(text: &str) -> Vec<Self> {
        text.lines()
            .filter_map(|line| {
                let mut words = line.split_whitespace();
                (words.next() == Some("nameserver"))
                    .then(|| words.next())
                    .flatten()
                    .and_then(|address| Self::parse(address, line))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn network(block: u8) -> Network {
        Network { block }
    }

    #[test]
    fn a_block_is_kept_and_read_back() {
        assert_eq!(Network::parse(&network(140).block()), Some(network(140)));
        assert_eq!(Network::parse("10.300.0.0/16"), None);
        assert_eq!(Network::parse("192.168.0.0/16"), None);
    }

    #[test]
    fn every_block_is_tried_once() {
        let id = Id::of(Path::new("/x"));
        let mut blocks: Vec<u8> = Network::candidates(&id).map(|n| n.block).collect();
        assert_eq!(blocks.first(), Some(&(FIRST + id.below(BLOCKS))));
        blocks.sort_unstable();
        blocks.dedup();
        assert_eq!(blocks.len(), usize::from(BLOCKS));
    }

    #[test]
    fn what_this_machine_uses_is_left_alone() {
        let routes = "default via 10.131.0.1 dev eth0 \n\
                      192.0.2.0/24 dev eth0 proto kernel scope link src 192.0.2.2 \n\
                      10.132.255.0/30 dev sluice01 proto kernel scope link src 10.132.255.1 \n\
                      local 10.133.7.7 dev lo table local proto kernel scope host \n\
                      10.134.0.0/15 dev vpn0 scope link ";
        let mut taken = Range::routes(routes);
        taken.extend(Range::resolvers("search x\nnameserver 10.136.0.2\n"));
        for block in 131..=136 {
            assert!(network(block).conflict(&taken).is_some(), "10.{block}");
        }
        for block in [130, 137] {
            assert_eq!(network(block).conflict(&taken), None, "10.{block}");
        }
        let conflict = network(132).conflict(&taken).unwrap();
        assert!(conflict.said.contains("dev sluice01"), "{}", conflict.said);
    }

    #[test]
    fn the_parts_of_a_block_do_not_overlap() {
        let n = network(200);
        let parts: Vec<Range> = [n.pods(), n.services(), n.link()]
            .iter()
            .map(|part| Range::parse(part, part).unwrap())
            .collect();
        for (i, a) in parts.iter().enumerate() {
            for b in &parts[i + 1..] {
                assert!(a.last < b.first || b.last < a.first, "{a:?} {b:?}");
            }
            assert!(n.conflict(std::slice::from_ref(a)).is_some());
        }
    }
}
