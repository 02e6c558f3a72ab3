//! The configuration files of containerd, the pod network, kubelet and kube-proxy: pure texts.

use std::path::Path;

use super::busybox;
use super::network::Network;
use super::places::Places;
use super::requirements::HostTools;

/// The node's name, quoted in YAML everywhere: some words are booleans there.
pub const NODE_NAME: &str = "sluice";
/// Where containerd listens, in the node's mount namespace: its own default, which all tools know.
pub(super) const CONTAINERD_SOCKET: &str = "/run/containerd/containerd.sock";

/// A text in a TOML or YAML string in double quotes.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// `containerd --config`.
pub(super) fn containerd(places: &Places, tools: &HostTools) -> String {
    format!(
        r#"version = 3
root = {root}
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.blockfile",
  "io.containerd.snapshotter.v1.erofs",
]
[grpc]
  address = "{CONTAINERD_SOCKET}"
# Their defaults lie outside the data folder.
[plugins."io.containerd.internal.v1.opt"]
  path = {opt}
[plugins."io.containerd.nri.v1.nri"]
  disable = true
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "{sandbox}"
[plugins."io.containerd.cri.v1.runtime"]
  # Without CAP_SYS_RESOURCE no score can be lowered, and runc dies trying.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = [{cni_bin}]
    conf_dir = {cni_conf}
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
      SystemdCgroup = false
      BinaryName = {runc}
"#,
        root = quoted(&places.containerd()),
        opt = quoted(&places.node.join("opt")),
        sandbox = busybox::IMAGE,
        cni_bin = quoted(&tools.cni),
        cni_conf = quoted(&places.cni()),
        runc = quoted(&tools.runc),
    )
}

/// The pod network. `ptp` routes every packet through the node, so that replies of a Service's pod pass where the
/// request was rewritten; a bridge does that only with the module br_netfilter.
pub(super) fn cni(places: &Places, network: Network) -> String {
    format!(
        r#"{{
  "cniVersion": "1.0.0",
  "name": "sluice",
  "plugins": [{{
    "type": "ptp",
    "ipMasq": false,
    "ipam": {{
      "type": "host-local",
      "dataDir": {addresses},
      "ranges": [[{{"subnet": "{pods}"}}]],
      "routes": [{{"dst": "0.0.0.0/0"}}]
    }}
  }}]
}}
"#,
        addresses = quoted(&places.addresses()),
        pods = network.pods(),
    )
}

/// `kubelet --config`.
pub(super) fn kubelet(
    places: &Places,
    network: Network,
    cgroup: &str,
    keys: &KubeletKeys<'_>,
) -> String {
    format!(
        r#"apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: "unix://{CONTAINERD_SOCKET}"
address: "{address}"
tlsCertFile: {cert}
tlsPrivateKeyFile: {key}
authentication:
  anonymous: {{enabled: false}}
  webhook: {{enabled: false}}
  x509: {{clientCAFile: {ca}}}
authorization: {{mode: AlwaysAllow}}
cgroupDriver: cgroupfs
cgroupRoot: "/{cgroup}"
failCgroupV1: false
failSwapOn: false
enforceNodeAllocatable: []
resolvConf: ""
clusterDNS: ["{dns}"]
clusterDomain: cluster.local
evictionHard: {{memory.available: "100Mi", nodefs.available: "1%", imagefs.available: "1%"}}
imageGCHighThresholdPercent: 100
localStorageCapacityIsolation: false
podLogsDir: {pod_logs}
volumePluginDir: {plugins}
"#,
        address = network.node(),
        cert = quoted(keys.cert),
        key = quoted(keys.key),
        ca = quoted(keys.ca),
        dns = network.dns(),
        pod_logs = quoted(&places.pod_logs()),
        plugins = quoted(&places.node.join("volume-plugins")),
    )
}

/// What the kubelet serves and trusts.
#[derive(Debug, Clone, Copy)]
pub(super) struct KubeletKeys<'a> {
    pub ca: &'a Path,
    pub cert: &'a Path,
    pub key: &'a Path,
}

/// `kube-proxy --config`. With the default of a second between rules, a Service refuses for that long after its pod is
/// ready.
pub(super) fn kube_proxy(network: Network, kubeconfig: &Path) -> String {
    format!(
        r#"apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
hostnameOverride: "{NODE_NAME}"
clusterCIDR: "{pods}"
clientConnection: {{kubeconfig: {kubeconfig}}}
conntrack: {{maxPerCore: 0}}
nodePortAddresses: ["{link}"]
healthzBindAddress: "127.0.0.1:10256"
metricsBindAddress: "127.0.0.1:10249"
nftables: {{minSyncPeriod: 50ms, syncPeriod: 30s}}
"#,
        pods = network.pods(),
        kubeconfig = quoted(kubeconfig),
        link = network.link(),
    )
}
