//! The real control plane, from nothing to nothing. One test, so that it is started once.

#![allow(clippy::unwrap_used)] // clippy.toml spares tests, but not their helper functions

use std::process::{Command, Output};
use std::time::Duration;

use sluice_cluster::{
    Assets, Binary, Cluster, ClusterOptions, Component, ControllerManager, DataDir,
};

const COMPONENTS: [Component; 3] = [
    Component::Etcd,
    Component::ApiServer,
    Component::ControllerManager,
];

fn kubectl(cluster: &Cluster, args: &[&str]) -> Output {
    Command::new(cluster.kubectl())
        .arg("--kubeconfig")
        .arg(cluster.kubeconfig())
        .args(args)
        .output()
        .unwrap()
}

fn stdout(cluster: &Cluster, args: &[&str]) -> String {
    let output = kubectl(cluster, args);
    assert!(
        output.status.success(),
        "kubectl {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn alive(pid: u32) -> bool {
    std::path::Path::new(&format!("/proc/{pid}")).exists()
}

fn pids(cluster: &Cluster) -> Vec<u32> {
    COMPONENTS
        .iter()
        .map(|component| cluster.process(*component).unwrap().pid())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_answers_recovers_and_stops_without_a_trace() {
    let Some(assets) = Assets::for_tests(Binary::ALL).await.unwrap() else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let options = ClusterOptions::new(assets)
        .controller_manager(ControllerManager::Run)
        .data_dir(DataDir::Keep(dir.path().join("state")));

    let cluster = Cluster::start(options.clone()).await.unwrap();
    let version = stdout(&cluster, &["version"]);
    assert!(version.contains("Server Version: v1.36.3"), "{version}");
    assert!(version.contains("Client Version: v1.36.3"), "{version}");

    // The folder is taken as long as it lives.
    let error = Cluster::start(options.clone())
        .await
        .unwrap_err()
        .to_string();
    let state = dir.path().join("state");
    assert_eq!(
        error,
        format!(
            "{} is in use by another local control plane. Stop that one, or name another data folder",
            state.display()
        )
    );

    // Every component can be lost and comes back with its data, at the same address.
    stdout(
        &cluster,
        &["create", "configmap", "kept", "--from-literal=a=b"],
    );
    for component in COMPONENTS {
        let before = cluster.process(component).unwrap().pid();
        cluster.kill(component).await.unwrap();
        assert!(!alive(before), "{component} survived its kill");
        assert_eq!(
            cluster.process(component).unwrap_err().to_string(),
            format!("{component} does not run in this cluster")
        );
        cluster.restart(component).await.unwrap();
        assert_ne!(cluster.process(component).unwrap().pid(), before);
    }
    assert_eq!(
        stdout(
            &cluster,
            &["get", "configmap", "kept", "-o", "jsonpath={.data.a}"]
        ),
        "b"
    );

    // The controllers work: only they end a namespace.
    stdout(&cluster, &["create", "namespace", "short-lived"]);
    stdout(
        &cluster,
        &["delete", "namespace", "short-lived", "--timeout=60s"],
    );

    // Whoever waits for trouble hears of it, with the component's name.
    let (error, killed) = tokio::join!(
        tokio::time::timeout(Duration::from_secs(10), cluster.failed()),
        cluster.kill(Component::ControllerManager)
    );
    killed.unwrap();
    let error = error.unwrap().to_string();
    assert!(
        error.starts_with("kube-controller-manager ended by itself (signal: 9 (SIGKILL))"),
        "{error}"
    );
    cluster.restart(Component::ControllerManager).await.unwrap();

    let before = pids(&cluster);
    cluster.stop().await.unwrap();
    assert_eq!(
        before.iter().filter(|pid| alive(**pid)).count(),
        0,
        "processes are left"
    );

    // A folder that is kept is gone on from: same data, same administrator. Dropping is stopping.
    let cluster = Cluster::start(options).await.unwrap();
    assert_eq!(
        stdout(
            &cluster,
            &["get", "configmap", "kept", "-o", "jsonpath={.data.a}"]
        ),
        "b"
    );
    let before = pids(&cluster);
    drop(cluster);
    assert_eq!(
        before.iter().filter(|pid| alive(**pid)).count(),
        0,
        "processes are left"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_flag_is_reported_in_the_api_servers_own_words_and_nothing_is_left() {
    let needed = [Binary::Etcd, Binary::KubeApiserver];
    let Some(assets) = Assets::for_tests(&needed).await.unwrap() else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let options = ClusterOptions::new(assets)
        .data_dir(DataDir::Keep(dir.path().to_path_buf()))
        .api_server_arg("--no-such-flag");
    let error = Cluster::start(options).await.unwrap_err().to_string();
    assert!(
        error.starts_with("kube-apiserver ended by itself (exit status: 1)"),
        "{error}"
    );
    assert!(error.contains("unknown flag: --no-such-flag"), "{error}");
    // Nobody has etcd's folder in its command line any more.
    let needle = dir.path().to_str().unwrap();
    let left = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|entry| {
            std::fs::read(entry.path().join("cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains(needle))
        });
    assert_eq!(left.count(), 0, "a process is left");
}
