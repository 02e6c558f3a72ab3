//! All of it goes, as docs/install.md says it: in order, and where the order was another.

use super::stage::{SOON, SYSTEM, Stage, chart, repository};
use serde_json::json;
use sluice_cluster::free_loopback_port;
use sluice_tests::eventually;
use std::time::Duration;

/// An API server that is busy fails at the removal of a CRD at times, and tries again at intervals that double.
const CRDS_GO: Duration = Duration::from_mins(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_of_it_goes() {
    let Some(stage) = Stage::set_with_pods().await else {
        return;
    };
    everything_is_removed_in_order(&stage);
    what_is_stuck_is_removed(&stage);
    stage.cluster.stop().await.unwrap();
}

/// The block of docs/install.md that holds this.
fn documented(holds: &str) -> String {
    let page = std::fs::read_to_string(repository().join("docs/install.md")).unwrap();
    let mut blocks = page
        .split("```sh\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next());
    let found = blocks.find(|block| block.contains(holds));
    found
        .unwrap_or_else(|| panic!("docs/install.md does not show: {holds}"))
        .to_owned()
}

fn finalizers(stage: &Stage, what: &str) -> Vec<String> {
    let path = "jsonpath={.metadata.finalizers[*]}";
    let said = stage.kubectl(&["get", what, "-n", "team-a", "-o", path], "");
    said.ok().split_whitespace().map(str::to_owned).collect()
}

fn our_crds(stage: &Stage) -> Vec<String> {
    let said = stage.kubectl(&["get", "crds", "-o", "name"], "").ok();
    said.lines()
        .filter(|name| name.ends_with(".sluice.dev"))
        .map(str::to_owned)
        .collect()
}

/// What the controller made, and what it would have to remove.
fn made(stage: &Stage) -> String {
    let kinds =
        "deployments.apps,jobs.batch,pods,services,configmaps,serviceaccounts,roles,rolebindings";
    let label = "sluice.dev/owner-kind";
    stage
        .kubectl(&["get", kinds, "-A", "-l", label, "-o", "name"], "")
        .ok()
}

fn everything_is_removed_in_order(stage: &Stage) {
    let port = free_loopback_port().unwrap();
    let url = format!("https://127.0.0.1:{port}");
    let value = format!("webhook.url={url}");
    let chart = chart();
    let chart = chart.to_str().unwrap();
    let install = [
        "install",
        "sluice",
        chart,
        "-n",
        SYSTEM,
        "--create-namespace",
        "--set",
        &value,
    ];
    stage.helm.run(&install).ok();
    let listen = format!("--listen=127.0.0.1:{port}");
    let at = format!("--url={url}");
    let _webhook = stage.pod("sluice", &["webhook", &listen, &at]);
    let controller = stage.pod("sluice", &["controller"]);
    let said = stage.sluice(&["doctor", "--wait", "--timeout", "90"]);
    assert_eq!(said.code, 0, "{}{}", said.out, controller.log_tail());

    stage.kubectl(&["create", "namespace", "team-a"], "").ok();
    for (kind, name, spec) in [
        (
            "SessionCluster",
            "a",
            json!({"state": "RUNNING", "flinkVersion": "1.20"}),
        ),
        (
            "DeploymentTarget",
            "t",
            json!({"kubernetes": {"namespace": "team-a"}}),
        ),
        (
            "Deployment",
            "d",
            json!({"state": "RUNNING", "deploymentTargetName": "t",
                "template": {"spec": {"artifact": {"kind": "JAR", "flinkVersion": "1.20", "jarUri": "https://example.com/a.jar"}}}}),
        ),
    ] {
        create(stage, kind, name, &json!([]), &spec);
    }
    for (what, finalizer) in [
        ("sessionclusters.sluice.dev/a", "sluice.dev/teardown"),
        ("deployments.sluice.dev/d", "sluice.dev/teardown"),
        ("deploymenttargets.sluice.dev/t", "sluice.dev/referenced"),
    ] {
        eventually(SOON, || {
            let all = finalizers(stage, what);
            anyhow::ensure!(all == [finalizer], "{what}: {all:?}");
            Ok(())
        })
        .unwrap();
    }
    eventually(SOON, || {
        let made = made(stage);
        anyhow::ensure!(made.contains("pod/"), "no pods yet: {made}");
        Ok(())
    })
    .unwrap();

    let lines = documented("helm uninstall sluice --namespace sluice-system\nkubectl");
    let said = stage.shell(&lines);
    assert_eq!(
        said.code,
        0,
        "{}{}{}",
        said.out,
        said.err,
        controller.log_tail()
    );
    assert_eq!(our_crds(stage), Vec::<String>::new());
    assert_eq!(made(stage), "");
}

fn create(
    stage: &Stage,
    kind: &str,
    name: &str,
    finalizers: &serde_json::Value,
    spec: &serde_json::Value,
) {
    let object = json!({
        "apiVersion": "sluice.dev/v1alpha1", "kind": kind, "spec": spec,
        "metadata": {"name": name, "namespace": "team-a", "finalizers": finalizers},
    });
    stage
        .kubectl(&["create", "-f", "-"], &object.to_string())
        .ok();
}

/// The CRDs went first, or together with the controller: what has finalizers stays, and its CRD with it.
fn what_is_stuck_is_removed(stage: &Stage) {
    let crds = stage.sluice(&["manifests", "--only", "crds"]).ok();
    stage
        .kubectl(&["apply", "--server-side", "-f", "-"], &crds)
        .ok();
    let mut wait = vec!["wait", "--for=condition=Established", "--timeout=60s"];
    let crds = our_crds(stage);
    wait.extend(crds.iter().map(String::as_str));
    stage.kubectl(&wait, "").ok();
    // A CRD that goes before its objects can be listed is tried again at intervals that double: minutes may pass.
    let kinds: Vec<&str> = crds
        .iter()
        .filter_map(|name| name.split_once('/'))
        .map(|(_, kind)| kind)
        .collect();
    eventually(SOON, || {
        let said = stage.kubectl(&["get", &kinds.join(","), "-A", "-o", "name"], "");
        anyhow::ensure!(said.code == 0, "{}", said.err);
        Ok(())
    })
    .unwrap();
    for (kind, finalizer, spec) in [
        (
            "SessionCluster",
            "teardown",
            json!({"state": "RUNNING", "flinkVersion": "1.20"}),
        ),
        (
            "DeploymentTarget",
            "referenced",
            json!({"kubernetes": {"namespace": "team-a"}}),
        ),
    ] {
        let finalizers = json!([format!("sluice.dev/{finalizer}")]);
        create(stage, kind, "stuck", &finalizers, &spec);
    }
    let left = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "left", "namespace": "team-a", "labels": {"sluice.dev/owner-kind": "sessioncluster"}}});
    stage
        .kubectl(&["create", "-f", "-"], &left.to_string())
        .ok();
    let mut delete = vec!["delete", "--wait=false"];
    delete.extend(crds.iter().map(String::as_str));
    stage.kubectl(&delete, "").ok();
    eventually(CRDS_GO, || {
        let left = our_crds(stage);
        anyhow::ensure!(left.len() == 2, "{left:?}");
        Ok(())
    })
    .unwrap();
    let said = stage.shell(&documented("{\"finalizers\":null}"));
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    eventually(CRDS_GO, || {
        let left = our_crds(stage);
        anyhow::ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
    .unwrap();
    assert_eq!(made(stage), "");
}
