//! What `doctor` says of an installation that is well, and of a cluster where there is none.

use super::Stage;
use serde_json::Value;
use sluice_tests::Kubectl;

pub fn all_is_well(stage: &Stage, _: &Kubectl) {
    let said = stage.documented("doctor");
    assert_eq!(said.code, 0, "{}", said.out);
    let checks = [
        "api-server",
        "version",
        "crds",
        "registration",
        "closed",
        "guards",
        "backstop",
        "webhook",
        "certificate",
        "controller",
        "quotas",
        "admission",
    ];
    let lines: Vec<&str> = said.out.lines().collect();
    assert_eq!(lines.len(), checks.len(), "{}", said.out);
    for (line, check) in lines.iter().zip(checks) {
        assert!(
            line.starts_with(&format!("ok       {check} ")),
            "{check}: {}",
            said.out
        );
    }
    assert_eq!(stage.documented("doctor --wait").code, 0);
    let said = stage.documented("doctor --pre");
    assert_eq!(said.code, 0, "{}", said.out);
    assert!(
        said.out.contains("this would be an upgrade"),
        "{}",
        said.out
    );
    let said = stage.sluice("doctor -o json");
    let all: Value = serde_json::from_str(&said.out).unwrap();
    assert!(
        all.as_array()
            .unwrap()
            .iter()
            .all(|check| check["verdict"] == "well"),
        "{all}"
    );

    let nowhere = stage.file("nowhere.yaml", "{apiVersion: v1, kind: Config, current-context: c, clusters: [{name: c, cluster: {server: 'https://127.0.0.1:9'}}], users: [{name: u, user: {token: t}}], contexts: [{name: c, context: {cluster: c, user: u}}]}");
    let said = stage.sluice(&format!("doctor --kubeconfig {nowhere}"));
    assert_eq!(said.code, 3, "{}", said.err);
    assert!(
        said.err.contains("https://127.0.0.1:9/ does not answer"),
        "{}",
        said.err
    );
    assert_eq!(stage.sluice("doctor --context other").code, 2);
    // Who may not install is told so before.
    let who = stage.somebody("default");
    let said = stage.sluice(&format!("doctor --pre --kubeconfig {who}"));
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    for lacking in [
        "you may not create namespaces, clusterroles, clusterrolebindings, ",
        ", customresourcedefinitions, ",
        ", validatingadmissionpolicybindings, ",
        "; nor, in namespace sluice-system, poddisruptionbudgets, serviceaccounts, secrets, roles, rolebindings, services, deployments, leases\n",
    ] {
        assert!(said.out.contains(lacking), "{lacking}: {}", said.out);
    }
    // What may not be read is not well.
    let said = stage.sluice(&format!("doctor -o json --kubeconfig {who}"));
    let all: Value = serde_json::from_str(&said.out).unwrap();
    for check in ["crds", "registration", "closed", "guards", "backstop"] {
        let found = all.as_array().unwrap().iter();
        let found: Vec<_> = found.filter(|found| found["check"] == check).collect();
        assert_eq!(found.len(), 1, "{all}");
        assert_eq!(found[0]["verdict"], "unseen", "{check}: {all}");
        assert!(
            found[0]["message"].as_str().unwrap().contains("forbidden"),
            "{check}: {all}"
        );
    }
    // A namespace that is left out.
    let said = stage.sluice("doctor --in kube-system");
    assert_eq!(said.code, 1, "{}", said.out);
    assert!(
        said.out
            .contains("objects in namespace kube-system are stored as they come"),
        "{}",
        said.out
    );
}
