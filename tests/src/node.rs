//! A running `sluice up --node`: the gate, the controller, and a real node on which pods run.

use crate::gate::Gate;
use crate::needs;
use anyhow::{Context, Result};
use std::net::Ipv4Addr;
use std::path::Path;

/// Starts `sluice up --node` with further arguments and waits until pods can run: `--flink VERSION` gives the node that
/// Flink's image and Sluice's own, `--image FILE` an archive of others; without either it has none, which is quickest. `None`, with a line that says why, where this machine cannot carry a node.
///
/// It takes ten seconds, so tests share one: see `tests/node/main.rs`. Several may run side by side. Pods have the image
/// [`sluice_cluster::BUSYBOX_IMAGE`] for tries. How long the steps of the start took is printed.
///
/// # Errors
/// What `sluice up` said, if it did not come up.
///
/// # Panics
/// If something is missing although `SLUICE_REQUIRE=all` asks for everything.
pub fn node(arguments: &[&str]) -> Result<Option<Gate>> {
    if !needs::real_node() {
        return Ok(None);
    }
    let mut all = vec!["--node"];
    if !arguments.contains(&"--flink") {
        all.extend(["--flink", "none"]);
    }
    all.extend(arguments);
    let gate = Gate::up(&all)?;
    for line in gate.log()?.lines().filter(|line| line.contains(" after ")) {
        eprintln!("{line}");
    }
    Ok(Some(gate))
}

impl Gate {
    /// The address of this machine that pods reach, for what a test serves to them. With a node only.
    ///
    /// # Errors
    /// If there is no node.
    pub fn host_address(&self) -> Result<Ipv4Addr> {
        host_address(self.kubeconfig())
    }
}

/// The address of this machine that a node's pods reach, from the kubeconfig of a cluster with a node.
///
/// # Errors
/// If there is no node.
pub fn host_address(kubeconfig: &Path) -> Result<Ipv4Addr> {
    let text = std::fs::read_to_string(kubeconfig)?;
    let server = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("server: https://"))
        .and_then(|server| server.split(':').next())
        .context("the kubeconfig names no server")?;
    server
        .parse()
        .ok()
        .filter(|address: &Ipv4Addr| !address.is_loopback())
        .context("this gate has no node")
}
