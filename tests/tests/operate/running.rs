//! What runs is broken: a controller and a webhook that hang, a Lease that is gone; or it does less than one may think.

use super::{SOON, Stage};
use nix::sys::signal::Signal;
use sluice_tests::{Kubectl, eventually};

fn signal(stage: &Stage, who: &str, signal: Signal) {
    let pids = stage.gate.children(who).unwrap();
    assert!(!pids.is_empty(), "no {who} runs");
    for pid in pids {
        stage.gate.signal(pid, signal).unwrap();
    }
}

pub fn a_controller_that_hangs(stage: &Stage, kubectl: &Kubectl) {
    signal(stage, "controller", Signal::SIGSTOP);
    // First a new quota is not counted, then its Lease is old, and at last somebody takes that away.
    let quota = "{apiVersion: sluice.dev/v1alpha1, kind: CpuQuota, metadata: {name: more, namespace: team-a}, spec: {hard: {cpu: 3}}}";
    kubectl.apply(quota).unwrap().admitted().unwrap();
    let said = stage.sluice("doctor --only quotas");
    assert_eq!(said.code, 1, "{}", said.out);
    assert!(
        said.out.contains(
            "CpuQuota team-a/more has not been counted yet: nothing can start against it"
        ),
        "{}",
        said.out
    );
    eventually(SOON, || {
        stage.complaint(
            "has not renewed Lease sluice-system/sluice-controller since",
            "logs deployment/sluice -c controller",
        )
    })
    .unwrap();
    kubectl
        .in_namespace("sluice-system")
        .run(&["delete", "lease/sluice-controller"])
        .unwrap()
        .admitted()
        .unwrap();
    stage.complains(
        "Lease sluice-system/sluice-controller is not there: no controller has ever led",
        "logs deployment/sluice",
    );
    signal(stage, "controller", Signal::SIGCONT);
    stage.recovers();
    kubectl
        .run(&["delete", "cpuquota", "more"])
        .unwrap()
        .admitted()
        .unwrap();
}

pub fn a_webhook_that_hangs(stage: &Stage, _: &Kubectl) {
    signal(stage, "webhook", Signal::SIGSTOP);
    stage.complains("nobody answers at 127.0.0.1:", "sluice emergency open");
    signal(stage, "webhook", Signal::SIGCONT);
    stage.recovers();
}

/// Nothing is wrong with it; whoever wonders why nothing runs is told.
pub fn a_controller_that_keeps_the_ledger_only(stage: &Stage, kubectl: &Kubectl) {
    let kubectl = kubectl.in_namespace("sluice-system");
    // As the chart makes it with controller.placement=deployment; without a node none of it runs.
    let deployment = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: sluice-controller}, spec: {replicas: 0, selector: {matchLabels: {a: b}}, \
                      template: {metadata: {labels: {a: b}}, spec: {containers: [{name: controller, image: sluice, args: [controller, --ledger-only]}]}}}}";
    kubectl.apply(deployment).unwrap().admitted().unwrap();
    let said = stage.sluice("doctor --only controller");
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert!(
        said.out.contains("note     controller    controller-"),
        "{}",
        said.out
    );
    let note = " leads, and keeps the quota ledger only (--ledger-only of Deployment \
                sluice-system/sluice-controller): quotas are counted, but no SessionCluster, SessionJob or Deployment of sluice.dev is run, and \
                their status stays empty\n";
    assert!(said.out.contains(note), "{}", said.out);
    assert!(
        said.out.contains(
            "remedy:       nothing, where only other operators run Flink; else helm upgrade with controller.ledgerOnly=false"
        ),
        "{}",
        said.out
    );
    let said = stage.sluice("doctor -o json --only controller");
    assert!(said.out.contains("\"verdict\": \"note\""), "{}", said.out);
    kubectl
        .run(&["delete", "deployment", "sluice-controller"])
        .unwrap()
        .admitted()
        .unwrap();
    let said = stage.sluice("doctor --only controller");
    assert!(said.out.contains("ok       controller"), "{}", said.out);
}
