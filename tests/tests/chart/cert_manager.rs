//! `tls.mode=certManager` with cert-manager's own controllers and cainjector: they make the certificate and the caBundle, and replace
//! the certificate while requests go on. Only where it is asked for: CI has no time for building them.

use super::stage::{SOON, SYSTEM, Stage, chart, run};
use k8s_openapi::ByteString;
use serde_json::Value;
use sluice_cluster::{Process, ProcessSpec, free_loopback_port};
use sluice_tests::eventually;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Requests in a row while a certificate is replaced.
const BETWEEN: Duration = Duration::from_millis(50);

/// Builds cert-manager's controllers, which takes minutes, and gives their program and the folder of their CRDs.
fn build(folder: &Path) -> Option<(PathBuf, PathBuf)> {
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("cert-manager");
    let go = |arguments: &[&str]| {
        let mut command = Command::new("go");
        command.args(arguments).current_dir(&module);
        run(command, "").ok()
    };
    let wanted = std::env::var_os("SLUICE_CERT_MANAGER").is_some();
    if !wanted {
        eprintln!(
            "skipped: building cert-manager takes minutes; SLUICE_CERT_MANAGER=1 asks for it"
        );
        return None;
    }
    let program = folder.join("cert-manager");
    go(&["build", "-o", program.to_str().unwrap(), "."]);
    let source = go(&[
        "list",
        "-m",
        "-f",
        "{{.Dir}}",
        "github.com/cert-manager/cert-manager",
    ]);
    Some((program, Path::new(source.trim()).join("deploy/crds")))
}

/// What a kubelet does with a Secret that a pod mounts: its keys are files, replaced all at once.
fn mount(stage: &Stage, secret: &str, folder: &Path) -> Vec<u8> {
    let secret = stage.get(&format!("secret/{secret}"));
    let bytes = |key: &str| -> Vec<u8> {
        serde_json::from_value::<ByteString>(secret["data"][key].clone())
            .unwrap()
            .0
    };
    for key in ["tls.crt", "tls.key"] {
        let next = folder.join(format!(".{key}"));
        std::fs::write(&next, bytes(key)).unwrap();
        std::fs::rename(&next, folder.join(key)).unwrap();
    }
    bytes("tls.crt")
}

fn exists(stage: &Stage, what: &str) -> bool {
    let said = stage.kubectl(&["get", what, "-n", SYSTEM, "-o", "name"], "");
    said.code == 0
}

fn bundles(stage: &Stage) -> Vec<Value> {
    ["mutating", "validating"]
        .iter()
        .map(|kind| {
            let stored = stage.get(&format!("{kind}webhookconfiguration/sluice"));
            stored["webhooks"][0]["clientConfig"]["caBundle"].clone()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cert_manager_makes_and_replaces_certificates() {
    let dir = tempfile::tempdir().unwrap();
    let Some((program, crds)) = build(dir.path()) else {
        return;
    };
    let Some(stage) = Stage::set().await else {
        return;
    };
    stage
        .kubectl(
            &["apply", "--server-side", "-f", crds.to_str().unwrap()],
            "",
        )
        .ok();
    let manager = Process::spawn(
        ProcessSpec::new(
            "cert-manager",
            &program,
            dir.path().join("cert-manager.log"),
        )
        .arg("--kube")
        .arg(stage.cluster.kubeconfig()),
    )
    .unwrap();

    let port = free_loopback_port().unwrap();
    let url = format!("https://127.0.0.1:{port}");
    let chart = chart();
    let set = format!("tls.mode=certManager,controller.placement=deployment,webhook.url={url}");
    stage
        .helm
        .run(&[
            "install",
            "sluice",
            chart.to_str().unwrap(),
            "-n",
            SYSTEM,
            "--create-namespace",
            "--set",
            &set,
        ])
        .ok();
    let began = Instant::now();
    eventually(SOON, || {
        anyhow::ensure!(
            exists(&stage, "secret/sluice-tls"),
            "no certificate yet: {}",
            manager.log_tail()
        );
        anyhow::ensure!(
            bundles(&stage).iter().all(Value::is_string),
            "no caBundle yet: {}",
            manager.log_tail()
        );
        Ok(())
    })
    .unwrap();
    eprintln!(
        "certificate and caBundles after {:.1} s",
        began.elapsed().as_secs_f64()
    );

    let files = dir.path().join("tls");
    std::fs::create_dir(&files).unwrap();
    let first = mount(&stage, "sluice-tls", &files);
    let file = |name: &str| files.join(name).display().to_string();
    let webhook = stage.pod(
        "sluice",
        &[
            "webhook",
            &format!("--listen=127.0.0.1:{port}"),
            &format!(
                "--metrics-listen=127.0.0.1:{}",
                free_loopback_port().unwrap()
            ),
            &format!("--url={url}"),
            &format!("--tls-cert={}", file("tls.crt")),
            &format!("--tls-key={}", file("tls.key")),
        ],
    );
    let controller = stage.pod("sluice-controller", &["controller"]);
    let well = || {
        let said = stage.sluice(&["doctor", "--wait", "--timeout", "90"]);
        assert_eq!(
            said.code,
            0,
            "{}{}\n{}\n{}",
            said.out,
            said.err,
            webhook.log_tail(),
            controller.log_tail()
        );
    };
    well();

    // The leaf is made anew, as at its renewal.
    stage.kubectl(&["create", "namespace", "team-a"], "").ok();
    let over = AtomicBool::new(false);
    let asked = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let short = "{apiVersion: sluice.dev/v1alpha1, kind: SessionCluster, metadata: {name: short, namespace: team-a}, spec: {state: RUNNING, flinkVersion: '1.20'}}";
            let mut asked = 0;
            while !over.load(Ordering::Relaxed) {
                stage.kubectl(&["create", "--dry-run=server", "-f", "-"], short).ok();
                asked += 1;
                std::thread::sleep(BETWEEN);
            }
            asked
        });
        // Also when something below panics: the scope waits for whoever asks.
        let ends = Over(&over);
        let mut leaf = first.clone();
        for _ in 0..3 {
            let next = renewed(&stage, "sluice-tls", &files, &leaf);
            assert_ne!(leaf, next);
            leaf = next;
            well();
        }
        drop(ends);
        asking.join().unwrap()
    });
    eprintln!("{asked} requests while the leaf was replaced three times, none failed");
    assert!(asked > 3, "{asked}");

    stage.helm.run(&["uninstall", "sluice", "-n", SYSTEM]).ok();
    assert!(!exists(&stage, "certificate/sluice-ca") && !exists(&stage, "issuer/sluice"));
    manager.stop(Duration::from_secs(10)).await;
    stage.cluster.stop().await.unwrap();
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Has a Secret made anew, and mounts it.
fn renewed(stage: &Stage, secret: &str, files: &Path, before: &[u8]) -> Vec<u8> {
    stage
        .kubectl(&["delete", "secret", secret, "-n", SYSTEM], "")
        .ok();
    eventually(SOON, || {
        anyhow::ensure!(
            exists(stage, &format!("secret/{secret}")),
            "{secret} is not back"
        );
        let stored = stage.get(&format!("secret/{secret}"));
        anyhow::ensure!(stored["data"]["tls.crt"].is_string(), "{secret} is empty");
        let now = mount(stage, secret, files);
        anyhow::ensure!(now != before, "still the same certificate");
        Ok(now)
    })
    .unwrap()
}
