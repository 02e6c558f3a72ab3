//! What the API server judges by itself: who may change how strictly a namespace is judged, and what quotas are counted by.

use crate::Promise;
use crate::decisions::session;
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use sluice_tests::{Gate, eventually};
use std::time::Duration;

pub const PROMISES: &[Promise] = &[
    (
        "guards::d09_who_may_patch_a_namespace_may_not_set_its_modes",
        guarded_modes,
    ),
    (
        "guards::s9_who_may_write_a_status_may_not_change_what_is_charged",
        guarded_statuses,
    ),
];

/// Every right in the namespace is not enough, wildcards included: the verb is asked for cluster-wide.
fn guarded_statuses(gate: &Gate) -> Result<()> {
    let kubectl = gate.namespace()?;
    let all = json!([{"apiGroups": ["sluice.dev"], "resources": ["*"], "verbs": ["*"]}]);
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "owner"}, "rules": all});
    kubectl.apply(&role.to_string())?.admitted()?;
    kubectl
        .run(&[
            "create",
            "rolebinding",
            "owner",
            "--role=owner",
            "--user=carol",
        ])?
        .admitted()?;
    let quota = json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "CpuQuota", "metadata": {"name": "default"}, "spec": {"hard": {"cpu": 10}}});
    kubectl.apply(&quota.to_string())?.admitted()?;
    let running = session("s", &json!({"state": "RUNNING", "numberOfTaskManagers": 2}));
    let used = |milli: u64| {
        let stored = kubectl.get("cpuquota/default")?;
        let confirmed = stored.pointer("/status/confirmedMilli");
        ensure!(confirmed == Some(&json!(milli)), "{stored}");
        Ok(())
    };
    eventually(Duration::from_secs(20), || used(0))?;
    kubectl.apply(&running)?.admitted()?;
    eventually(Duration::from_secs(20), || used(3000))?;
    let patch = |user: &str, what: &str, status: &Value| {
        let patch = json!({ "status": status }).to_string();
        let as_user = format!("--as={user}");
        let mut arguments = vec![
            "patch",
            what,
            "--subresource=status",
            "--type=merge",
            "-p",
            &patch,
        ];
        arguments.extend((!user.is_empty()).then_some(as_user.as_str()));
        kubectl.run(&arguments)
    };
    // Once with the right words the role is in force.
    eventually(Duration::from_secs(10), || {
        let said = patch(
            "carol",
            "sessioncluster/s",
            &json!({"allocatedMilli": 9000}),
        )?
        .refused()?;
        ensure!(said.contains("[status/guarded]"), "{said}");
        Ok(())
    })?;
    for (what, status) in [
        (
            "sessioncluster/s",
            json!({"state": "STOPPED", "observedGeneration": 1}),
        ),
        ("cpuquota/default", json!({"confirmedMilli": 0})),
        ("cpuquota/default", json!({"pending": []})),
    ] {
        let said = patch("carol", what, &status)?.refused()?;
        ensure!(
            said.contains("only Sluice itself writes it") && said.contains("statuses.sluice.dev"),
            "{what}: {said}"
        );
    }
    used(3000)?;
    // She may do all else, and the books go on.
    kubectl
        .run(&["scale", "sessioncluster/s", "--replicas=3", "--as=carol"])?
        .admitted()?;
    eventually(Duration::from_secs(20), || used(4000))?;
    // A cluster administrator may: what has gone wrong can be put right by hand.
    patch("", "sessioncluster/s", &json!({"allocatedMilli": 9000}))?.admitted()?;
    eventually(Duration::from_secs(20), || used(9000))
}

fn guarded_modes(gate: &Gate) -> Result<()> {
    let kubectl = gate.namespace()?;
    let name = kubectl.namespace();
    for (kind, role, rules) in [
        (
            "ClusterRole",
            format!("edit-{name}"),
            json!([{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "patch"]}]),
        ),
        (
            "ClusterRole",
            format!("set-{name}"),
            json!([{"apiGroups": ["sluice.dev"], "resources": ["modes"], "verbs": ["set"]}]),
        ),
    ] {
        let object = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": role}, "rules": rules});
        kubectl.apply(&object.to_string())?.admitted()?;
    }
    let bind = |role: &str| {
        kubectl
            .run(&[
                "create",
                "clusterrolebinding",
                role,
                &format!("--clusterrole={role}"),
                "--user=bob",
            ])?
            .admitted()
    };
    bind(&format!("edit-{name}"))?;
    let label =
        |label: &str| kubectl.run(&["label", "namespace", name, label, "--as=bob", "--overwrite"]);
    eventually(Duration::from_secs(10), || label("team=a")?.admitted())?;
    for mode in [
        "sluice.dev/quota=off",
        "sluice.dev/immutability=warn",
        "sluice.dev/defaults=off",
    ] {
        let said = eventually(Duration::from_secs(10), || label(mode)?.refused())?;
        ensure!(said.contains("modes.sluice.dev"), "{said}");
    }
    bind(&format!("set-{name}"))?;
    // A slip of the pen is no mode, and would count as none.
    eventually(Duration::from_secs(10), || {
        let said = label("sluice.dev/quota=of")?.refused()?;
        ensure!(said.contains("is enforce, warn or off"), "{said}");
        Ok(())
    })?;
    eventually(Duration::from_secs(10), || {
        label("sluice.dev/quota=off")?.admitted()
    })?;
    Ok(())
}
