//! What each component is started with, and when it counts as ready.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::{ClusterOptions, Component, ControllerManager};
use crate::node::Network;
use crate::pki::{Issued, Pki};
use crate::ports::probe_http;
use crate::{ClusterError, Process, ProcessSpec};

/// How often readiness is asked for, and how long one answer may take.
const PROBE_EVERY: Duration = Duration::from_millis(25);
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Files and ports of one control plane.
#[derive(Debug)]
pub(super) struct Layout {
    pub dir: PathBuf,
    pub logs: PathBuf,
    pub pki: Pki,
    pub etcd_client: u16,
    /// Where the API server looks for it.
    pub etcd_front: u16,
    pub etcd_peer: u16,
    pub api_server: u16,
    pub network: Option<NodeNetwork>,
}

/// What a node changes for the API server.
#[derive(Debug)]
pub(super) struct NodeNetwork {
    pub network: Network,
    /// Its certificate for the addresses by which pods and the kubelet reach it.
    pub server: Issued,
    /// By which the kubelet knows it.
    pub kubelet_client: Issued,
}

impl Layout {
    pub(super) fn kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }

    pub(super) fn server_url(&self) -> String {
        format!("https://{}:{}", self.api_server_address(), self.api_server)
    }

    /// Pods reach only the host's end of the node's link, and nobody else does.
    fn api_server_address(&self) -> Ipv4Addr {
        self.network
            .as_ref()
            .map_or(Ipv4Addr::LOCALHOST, |node| node.network.host())
    }

    /// The command line of a component.
    pub(super) fn spec(&self, component: Component, options: &ClusterOptions) -> ProcessSpec {
        let binary = component.binary();
        let log = self.logs.join(format!("{component}.log"));
        let args = match component {
            Component::Etcd => self.etcd_args(),
            Component::ApiServer => self.api_server_args(options),
            Component::ControllerManager => self.controller_manager_args(),
        };
        ProcessSpec::new(component.to_string(), options.assets.path(binary), log).args(args)
    }

    fn etcd_args(&self) -> Vec<String> {
        let client = format!("http://127.0.0.1:{}", self.etcd_client);
        let peer = format!("http://127.0.0.1:{}", self.etcd_peer);
        vec![
            "--name=sluice".into(),
            format!("--data-dir={}", self.dir.join("etcd").display()),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=sluice={peer}"),
            // The data need not outlive a power cut, and syncing is most of a write's time.
            "--unsafe-no-fsync".into(),
            // One member elects itself: no reason to wait for others' votes.
            "--heartbeat-interval=10".into(),
            "--election-timeout=100".into(),
            "--log-level=warn".into(),
        ]
    }

    fn api_server_args(&self, options: &ClusterOptions) -> Vec<String> {
        let pki = &self.pki;
        let mut args = vec![
            format!("--etcd-servers=http://127.0.0.1:{}", self.etcd_front),
            format!("--bind-address={}", self.api_server_address()),
            format!("--advertise-address={}", self.api_server_address()),
            format!("--secure-port={}", self.api_server),
            format!("--cert-dir={}", self.dir.join("pki").display()),
            format!("--client-ca-file={}", pki.ca_cert.display()),
            format!("--token-auth-file={}", pki.tokens.display()),
            "--authorization-mode=RBAC".into(),
            "--service-account-issuer=https://kubernetes.default.svc".into(),
            format!(
                "--service-account-key-file={}",
                pki.service_account_public.display()
            ),
            format!(
                "--service-account-signing-key-file={}",
                pki.service_account_key.display()
            ),
            "--allow-privileged=true".into(),
            "--profiling=false".into(),
        ];
        let file = |flag: &str, path: &Path| format!("--{flag}={}", path.display());
        match &self.network {
            None => args.extend([
                // A loopback address is no valid endpoint of the service `kubernetes`.
                "--endpoint-reconciler-type=none".into(),
                "--service-cluster-ip-range=10.96.0.0/16".into(),
                file("tls-cert-file", &pki.server_cert),
                file("tls-private-key-file", &pki.server_key),
            ]),
            Some(node) => args.extend([
                format!("--service-cluster-ip-range={}", node.network.services()),
                file("tls-cert-file", &node.server.cert),
                file("tls-private-key-file", &node.server.key),
                file("kubelet-client-certificate", &node.kubelet_client.cert),
                file("kubelet-client-key", &node.kubelet_client.key),
                file("kubelet-certificate-authority", &pki.ca_cert),
                // The node's name is in no DNS.
                "--kubelet-preferred-address-types=InternalIP".into(),
            ]),
        }
        if options.controller_manager == ControllerManager::Absent {
            // Nobody makes the ServiceAccount `default`, without which that plugin refuses every pod.
            args.push("--disable-admission-plugins=ServiceAccount".into());
        }
        if !options.admission_plugins.is_empty() {
            args.push(format!(
                "--enable-admission-plugins={}",
                options.admission_plugins.join(",")
            ));
        }
        args.extend(options.api_server_args.iter().cloned());
        args
    }

    fn controller_manager_args(&self) -> Vec<String> {
        let pki = &self.pki;
        vec![
            format!("--kubeconfig={}", self.kubeconfig().display()),
            format!(
                "--service-account-private-key-file={}",
                pki.service_account_key.display()
            ),
            format!("--root-ca-file={}", pki.ca_cert.display()),
            format!("--cluster-signing-cert-file={}", pki.ca_cert.display()),
            format!("--cluster-signing-key-file={}", pki.ca_key.display()),
            "--leader-elect=false".into(),
            // It serves nothing that we need, and a port less cannot be taken.
            "--secure-port=0".into(),
            "--profiling=false".into(),
        ]
    }

    /// Polls until the component is ready, has died, or the deadline has passed.
    pub(super) async fn wait_ready(
        &self,
        component: Component,
        process: &Process,
        client: Option<kube::Client>,
        within: Duration,
    ) -> Result<(), ClusterError> {
        let deadline = Instant::now() + within;
        let mut ticks = interval(PROBE_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = String::from("not asked yet");
        while Instant::now() < deadline {
            tokio::select! {
                status = process.exited() => return Err(process.died(status)),
                _ = ticks.tick() => {}
            }
            match timeout(PROBE_TIMEOUT, self.probe(component, client.as_ref())).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => last = error,
                Err(_) => last = format!("no answer within {PROBE_TIMEOUT:?}"),
            }
        }
        Err(process.not_ready(within, last))
    }

    async fn probe(
        &self,
        component: Component,
        client: Option<&kube::Client>,
    ) -> Result<(), String> {
        match (component, client) {
            (Component::Etcd, _) => probe_http(self.etcd_client, "/health").await,
            (_, None) => Err("no client".into()),
            (Component::ApiServer, Some(client)) => {
                let request = http::Request::get("/readyz")
                    .body(Vec::new())
                    .map_err(|error| error.to_string())?;
                client
                    .request_text(request)
                    .await
                    .map(drop)
                    .map_err(|error| error.to_string())
            }
            // It serves no health; this is the first of its works that anybody waits for.
            (Component::ControllerManager, Some(client)) => {
                let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
                accounts
                    .get("default")
                    .await
                    .map(drop)
                    .map_err(|error| error.to_string())
            }
        }
    }
}
