//! `sluice emergency` with every webhook process dead.

use super::{SOON, Stage, cluster, docs};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use sluice_tests::{Kubectl, Ran, eventually};
use std::process::Command;

/// Both registrations' webhooks as they are stored.
fn registered(kubectl: &Kubectl) -> [Value; 2] {
    ["validating", "mutating"].map(|kind| {
        kubectl
            .get(&format!("{kind}webhookconfiguration/sluice"))
            .unwrap()["webhooks"]
            .clone()
    })
}

fn start(kubectl: &Kubectl, name: &str) -> Ran {
    kubectl.create(&cluster(name, 1)).unwrap()
}

pub fn gives_the_cluster_back(stage: &Stage, kubectl: &Kubectl) {
    let said = stage.documented("emergency status");
    assert_eq!(
        (said.code, said.out.as_str()),
        (
            0,
            "ValidatingWebhookConfiguration sluice: asks the webhooks\nMutatingWebhookConfiguration sluice: asks the webhooks\n"
        )
    );
    let before = registered(kubectl);
    for pid in stage.gate.children("webhook").unwrap() {
        stage.gate.signal(pid, Signal::SIGKILL).unwrap();
    }
    let refused = eventually(SOON, || start(kubectl, "dead").refused()).unwrap();
    assert!(
        refused.contains("failed calling webhook \"validate.sluice.dev\""),
        "{refused}"
    );
    stage.complains("nobody answers at 127.0.0.1:", "sluice emergency open");
    // What only lowers works all the same.
    kubectl
        .merge(
            "fsc/analytics",
            &json!({"spec": {"numberOfTaskManagers": 1}}),
        )
        .unwrap()
        .admitted()
        .unwrap();

    assert!(docs().contains("sluice emergency open --reason "));
    let said = stage.sluice_with(&["emergency", "open", "--reason", "no webhook answers, INC-7"]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert!(
        said.out.starts_with("open: https://")
            && said.out.contains("To undo it: sluice emergency restore"),
        "{}",
        said.out
    );
    start(kubectl, "given-back").admitted().unwrap();
    // What the guards see to is the API server's own, and stays.
    let said = stage.sluice("emergency status");
    assert_eq!(said.code, 1, "{}", said.out);
    assert!(
        said.out
            .contains("ValidatingWebhookConfiguration sluice: open since ")
            && said.out.contains(": no webhook answers, INC-7"),
        "{}",
        said.out
    );
    stage.complains("is open since", "sluice emergency restore");
    assert_eq!(stage.sluice("emergency open").code, 0, "again");

    let said = stage.documented("emergency restore");
    assert_eq!(said.code, 1, "nobody answers yet: {}", said.out);
    assert!(
        said.out
            .contains("restored, but admission does not answer as it should")
            && said.out.contains("sluice doctor"),
        "{}",
        said.out
    );
    assert_eq!(registered(kubectl), before, "nothing is left of it");
    assert!(
        kubectl
            .get("validatingwebhookconfiguration/sluice")
            .unwrap()["metadata"]["annotations"]["sluice.dev/emergency"]
            .is_null()
    );
    start(kubectl, "again").refused().unwrap();
}

/// The same by kubectl alone, as it is documented; restore undoes that too.
pub fn works_by_hand(stage: &Stage, kubectl: &Kubectl) {
    let before = registered(kubectl);
    let docs = docs();
    let line = docs
        .lines()
        .find(|line| line.contains("kubectl patch") && line.contains("emergency-open"))
        .unwrap();
    let shell = Command::new("sh")
        .arg("-ec")
        .env("KUBECONFIG", stage.gate.kubeconfig())
        .env("KUBECTL", kubectl.binary())
        .arg(format!("kubectl() {{ \"$KUBECTL\" \"$@\"; }}\n{line}"))
        .status()
        .unwrap();
    assert!(shell.success(), "{line}");
    eventually(SOON, || start(kubectl, "by-hand").admitted()).unwrap();
    assert!(
        stage
            .sluice("emergency status")
            .out
            .contains("ValidatingWebhookConfiguration sluice: open by hand")
    );
    stage.sluice("emergency restore");
    assert_eq!(registered(kubectl), before);
}

pub fn has_nothing_to_do_where_nothing_is(stage: &Stage, kubectl: &Kubectl) {
    for kind in ["validating", "mutating"] {
        kubectl
            .run(&["delete", &format!("{kind}webhookconfiguration/sluice")])
            .unwrap()
            .admitted()
            .unwrap();
    }
    let said = stage.sluice("emergency open");
    assert_eq!(said.code, 0);
    assert!(said.out.contains("nothing to open"), "{}", said.out);
    let said = stage.sluice("emergency restore");
    assert_eq!(said.code, 3, "{}", said.out);
    assert!(
        said.err
            .contains("there is nothing to restore; install it again"),
        "{}",
        said.err
    );
}
