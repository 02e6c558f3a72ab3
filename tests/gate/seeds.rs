//! Every complete example of the source documents is admitted, after `sluice convert` where Kubernetes forbids it as
//! it stands.

use crate::Promise;
use anyhow::{Result, ensure};
use sluice_tests::{Gate, fixtures, sluice_binary};
use std::path::Path;
use std::process::Command;

pub const PROMISES: &[Promise] = &[
    ("seeds::vvp_manifests_are_admitted_after_convert", vvp),
    ("seeds::rest_bodies_are_admitted_after_convert", rest),
    (
        "seeds::apache_and_confluent_manifests_are_admitted_as_they_stand",
        theirs,
    ),
];

fn convert(file: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new(sluice_binary()?)
        .arg("convert")
        .arg("-f")
        .arg(file)
        .args(arguments)
        .output()?;
    ensure!(
        output.status.success(),
        "convert: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

fn vvp(gate: &Gate) -> Result<()> {
    let Some(fixtures) = fixtures() else {
        return Ok(());
    };
    let kubectl = gate.namespace()?;
    let session = convert(
        &fixtures.path("seeds/vvp-session-cluster.yaml"),
        &["--name", "analytics"],
    )?;
    kubectl.apply(&session)?.admitted()?;
    let stored = kubectl.get("fsc/analytics")?;
    assert_eq!(stored["spec"]["flinkVersion"], "1.12");
    assert_eq!(stored["spec"]["resources"]["taskmanager"]["cpu"], 16);
    assert_eq!(stored["spec"]["logging"]["log4jLoggers"][""], "INFO");

    let deployment = convert(&fixtures.path("seeds/vvp-deployment.yaml"), &[])?;
    let said = kubectl.apply(&deployment)?.admitted()?.stderr;
    ensure!(
        said.contains("57b4c290-73ad-11e7-8cf7-a6006ad3dba0"),
        "a reference that does not resolve warns: {said}"
    );
    let stored = kubectl.get("fdep/topspeedwindowing-example")?;
    assert_eq!(
        stored["metadata"]["annotations"]["sluice.dev/display-name"],
        "TopSpeedWindowing Example"
    );
    assert_eq!(stored["spec"]["state"], "RUNNING");
    assert_eq!(
        stored["spec"]["restoreStrategy"]["kind"],
        "LATEST_SAVEPOINT"
    );
    assert_eq!(
        stored["spec"]["template"]["spec"]["resources"]["jobmanager"]["memory"],
        "1g"
    );
    assert_eq!(
        stored["spec"]["template"]["spec"]["flinkConfiguration"]["taskmanager.numberOfTaskSlots"],
        "1"
    );
    Ok(())
}

fn rest(gate: &Gate) -> Result<()> {
    let Some(fixtures) = fixtures() else {
        return Ok(());
    };
    let kubectl = gate.namespace()?;
    kubectl
        .apply(&convert(
            &fixtures.path("seeds/rest-create-session.json"),
            &[],
        )?)?
        .admitted()?;
    let stored = kubectl.get("fsc/example-flink-session")?;
    assert_eq!(stored["spec"]["flinkVersion"], "1.17");
    assert_eq!(stored["spec"]["resources"]["jobmanager"]["cpu"], 0.5);
    let job = convert(
        &fixtures.path("seeds/rest-create-session-job.json"),
        &["--session", "example-flink-session"],
    )?;
    kubectl.apply(&job)?.admitted()?;
    let stored = kubectl.get("fsj/example-flink-session-job")?;
    assert_eq!(stored["spec"]["job"]["entryClass"], "com.example.flink.Job");
    Ok(())
}

fn theirs(gate: &Gate) -> Result<()> {
    let Some(fixtures) = fixtures() else {
        return Ok(());
    };
    let kubectl = gate.namespace()?;
    for (file, what) in [
        (
            "apache-session-job.yaml",
            "flinksessionjob/basic-session-job-example",
        ),
        (
            "confluent-flink-application.yaml",
            "flinkapplication/curl-example",
        ),
    ] {
        let text = std::fs::read_to_string(fixtures.path("seeds").join(file))?;
        kubectl.apply(&text)?.admitted()?;
        let stored = kubectl.get(what)?;
        ensure!(
            stored["metadata"]["annotations"]
                .get("sluice.dev/defaults")
                .is_none(),
            "nothing built in is filled in"
        );
    }
    let text = std::fs::read_to_string(fixtures.path("seeds/apache-application.yaml"))?;
    gate.kubectl().apply(&text)?.admitted()?;
    for file in [
        "basic",
        "basic-checkpoint-ha",
        "basic-reactive",
        "autoscaling",
        "pod-template",
        "basic-session-deployment-and-job",
        "canary",
    ] {
        let text = std::fs::read_to_string(
            fixtures
                .path("apache/examples")
                .join(format!("{file}.yaml")),
        )?;
        kubectl.apply(&text)?.admitted()?;
    }
    Ok(())
}
