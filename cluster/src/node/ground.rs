//! What a node stands on, made before the control plane starts, since the API server listens on the node's link: its
//! entry among this machine's nodes, its cgroup, its namespaces, its addresses and routes.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::cgroup::Cgroup;
use super::identity::Id;
use super::namespaces::{Namespaces, run};
use super::network::{Network, Range};
use super::places::Places;
use super::registry::Entry;
use super::requirements::{HostTools, find_program};
use crate::ClusterError;

/// How long `ip` may take.
const IP_WITHIN: Duration = Duration::from_secs(10);
/// How long processes may take to die once their namespace is gone.
const END_WITHIN: Duration = Duration::from_secs(20);
/// The node's end of the link.
const UPLINK: &str = "uplink";

/// Whether the data folder goes with the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lasting {
    /// It stays, and a later start goes on from there.
    Kept,
    /// It is a temporary one.
    Temporary,
}

/// All of it. Dropping it clears it away: the fields in their order.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(super) places: Places,
    pub(super) tools: HostTools,
    pub(super) network: Network,
    pub(super) namespaces: Namespaces,
    id: Id,
    cgroup: Cgroup,
    /// Last, so that the entry outlives what it stands for.
    entry: Entry,
}

impl Ground {
    /// Clears away what an earlier run left behind, and makes everything anew.
    pub(crate) async fn prepare(
        tools: HostTools,
        dir: &Path,
        logs: &Path,
        lasting: Lasting,
        within: Duration,
    ) -> Result<Self, ClusterError> {
        let places = Places::make(dir, logs)?;
        let id = Id::of(dir);
        let entry = Entry::claim(&id, dir, lasting)?;
        let cgroup = Cgroup::locate(&id.cgroup());
        cgroup.make()?;
        let namespaces = Namespaces::make(&tools, &cgroup, &places, within).await?;
        let network = connect(&tools, &id, &namespaces, &places).await?;
        Ok(Self {
            places,
            tools,
            network,
            namespaces,
            id,
            cgroup,
            entry,
        })
    }

    /// Its addresses.
    pub(crate) fn network(&self) -> Network {
        self.network
    }

    /// The name of its cgroup, which is the kubelet's root.
    pub(super) fn cgroup(&self) -> String {
        self.id.cgroup()
    }

    /// Ends what is left of the node's processes and removes everything outside the data folder.
    pub(crate) async fn clear(self) -> Result<(), ClusterError> {
        self.namespaces.end().await;
        self.cgroup.remove(END_WITHIN).await?;
        self.entry.release()
    }
}

/// Links host and node, and finds addresses: those of an earlier start in the same folder, since its Services have
/// addresses among them, else the first free ones.
async fn connect(
    tools: &HostTools,
    id: &Id,
    namespaces: &Namespaces,
    places: &Places,
) -> Result<Network, ClusterError> {
    let kept = places.network();
    let earlier = fs::read_to_string(&kept)
        .ok()
        .and_then(|text| Network::parse(&text));
    let ip = Ip {
        program: tools.ip.to_string_lossy().into_owned(),
        link: id.link(),
        namespaces,
    };
    let mut taken = Range::routes(&ip.host("-4 -o route show table all").await?);
    taken.extend(Range::resolvers(
        &fs::read_to_string("/etc/resolv.conf").unwrap_or_default(),
    ));
    ip.link(namespaces.pid()).await?;
    if let Some(network) = earlier {
        let in_use = |by: String| ClusterError::NetworkInUse {
            block: network.block(),
            by,
        };
        if let Some(range) = network.conflict(&taken) {
            return Err(in_use(range.said.clone()));
        }
        ip.address(network)
            .await
            .map_err(|error| in_use(error.to_string()))?;
        return Ok(network);
    }
    for network in Network::candidates(id).filter(|network| network.conflict(&taken).is_none()) {
        // A route can be added once: whoever starts at the same moment and is second gets the next block.
        match ip.address(network).await {
            Ok(()) => {
                fs::write(&kept, network.block()).map_err(ClusterError::io("writing", &kept))?;
                return Ok(network);
            }
            Err(error) if error.to_string().contains("File exists") => {
                remove_link(id)?;
                ip.link(namespaces.pid()).await?;
            }
            Err(error) => return Err(error),
        }
    }
    Err(ClusterError::NoFreeNetwork)
}

struct Ip<'a> {
    program: String,
    link: String,
    namespaces: &'a Namespaces,
}

impl Ip<'_> {
    async fn host(&self, words: &str) -> Result<String, ClusterError> {
        let mut command = vec![self.program.clone()];
        command.extend(words.split_whitespace().map(str::to_owned));
        run(&command, IP_WITHIN, &format!("ip {words}")).await
    }

    async fn node(&self, words: &str) -> Result<(), ClusterError> {
        let mut command = vec![self.program.as_str()];
        command.extend(words.split_whitespace());
        self.namespaces.run(&command).await.map(drop)
    }

    async fn link(&self, pid: u32) -> Result<(), ClusterError> {
        let link = &self.link;
        self.host(&format!(
            "link add {link} type veth peer name {UPLINK} netns {pid}"
        ))
        .await?;
        self.host(&format!("link set {link} up")).await?;
        self.node(&format!("link set {UPLINK} up")).await
    }

    /// Addresses and routes. Those to pods and Services first: they fail if somebody else has them.
    async fn address(&self, network: Network) -> Result<(), ClusterError> {
        let (link, host, node) = (&self.link, network.host(), network.node());
        self.host(&format!("addr add {host}/30 dev {link}")).await?;
        for range in [network.pods(), network.services()] {
            self.host(&format!("route add {range} via {node} dev {link}"))
                .await?;
        }
        self.node(&format!("addr add {node}/30 dev {UPLINK}"))
            .await?;
        // What the node itself sends to a Service is rewritten after it has been routed somewhere.
        let services = network.services();
        self.node(&format!("route add {services} dev {UPLINK} src {node}"))
            .await
    }
}

/// Removes the host's end of a node's link, if it is there. The other end and all routes go with it.
pub(super) fn remove_link(id: &Id) -> Result<(), ClusterError> {
    let link = id.link();
    let there = || Path::new("/sys/class/net").join(&link).exists();
    if !there() {
        return Ok(());
    }
    let program = find_program("ip").unwrap_or_else(|| "ip".into());
    let output = std::process::Command::new(&program)
        .args(["link", "del", &link])
        .output();
    // The kernel removes it too, when the namespace of its other end has died.
    match output {
        Ok(output) if output.status.success() || !there() => Ok(()),
        Ok(output) => Err(ClusterError::NodeCommand {
            command: format!("ip link del {link}"),
            said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        }),
        Err(error) => Err(ClusterError::io("running", &program)(error)),
    }
}
