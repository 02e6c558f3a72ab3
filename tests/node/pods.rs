//! Pods, Services and names, as any cluster has them.

use crate::Promise;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sluice_cluster::{BUSYBOX_IMAGE, NODE_NAME};
use sluice_tests::{Gate, Kubectl, eventually};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

pub const PROMISES: &[Promise] = &[
    ("pods::the_node_is_ready_and_has_what_it_promises", ready),
    ("pods::a_pod_finds_a_service_by_its_name", service),
    ("pods::logs_and_exec_work", logs),
    ("pods::this_machine_reaches_a_service_by_its_address", host),
    ("pods::a_pod_reaches_this_machine", back),
    ("pods::the_webhook_on_this_machine_is_asked", webhook),
    ("pods::a_pod_whose_image_is_not_there_says_so", no_image),
];

pub const WITHIN: Duration = Duration::from_mins(1);

/// A pod that runs a script.
pub fn pod(name: &str, script: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "restartPolicy": "Never",
            "containers": [{
                "name": "main",
                "image": BUSYBOX_IMAGE,
                "command": ["sh", "-c", script],
                "resources": {"requests": {"cpu": "20m", "memory": "16Mi"}},
            }],
        },
    })
}

/// A pod that serves one file, and a Service in front of it.
pub fn web(kubectl: &Kubectl, text: &str) -> Result<String> {
    let mut pod = pod(
        "web",
        &format!(
            "mkdir /tmp/w && echo {text} > /tmp/w/index.html && exec httpd -f -p 8080 -h /tmp/w"
        ),
    );
    pod["spec"]["containers"][0]["readinessProbe"] =
        json!({"httpGet": {"path": "/index.html", "port": 8080}, "periodSeconds": 1});
    kubectl.apply(&pod.to_string())?.admitted()?;
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
    });
    kubectl.apply(&service.to_string())?.admitted()?;
    wait(kubectl, "pod/web", "condition=Ready")?;
    let service = kubectl.get("service/web")?;
    Ok(service["spec"]["clusterIP"]
        .as_str()
        .context("a Service without an address")?
        .to_owned())
}

pub fn wait(kubectl: &Kubectl, what: &str, condition: &str) -> Result<()> {
    kubectl
        .run(&["wait", what, &format!("--for={condition}"), "--timeout=30s"])?
        .admitted()
        .with_context(|| format!("{what} {condition}"))
        .map(drop)
}

/// What a pod printed, once it has ended well.
fn outcome(kubectl: &Kubectl, name: &str) -> Result<String> {
    wait(
        kubectl,
        &format!("pod/{name}"),
        "jsonpath={.status.phase}=Succeeded",
    )
    .with_context(|| {
        let said = kubectl.run(&["logs", name]).map(|ran| ran.stdout);
        format!("it printed {said:?}")
    })?;
    Ok(kubectl.run(&["logs", name])?.admitted()?.stdout)
}

fn ready(gate: &Gate) -> Result<()> {
    let node = gate.kubectl().get(&format!("node/{NODE_NAME}"))?;
    assert_eq!(node["status"]["nodeInfo"]["kubeletVersion"], "v1.36.3");
    assert_eq!(
        node["status"]["nodeInfo"]["containerRuntimeVersion"],
        "containerd://2.1.5"
    );
    let version = gate.kubectl().run(&["version"])?.admitted()?.stdout;
    ensure!(version.contains("Server Version: v1.36.3"), "{version}");
    Ok(())
}

fn service(gate: &Gate) -> Result<()> {
    let kubectl = gate.namespace()?;
    let began = Instant::now();
    web(&kubectl, "by-name")?;
    eprintln!("a pod and its Service after {:.1?}", began.elapsed());
    let namespace = kubectl.namespace();
    let script = format!(
        "set -e; timeout 5 wget -qO- http://web/index.html; timeout 5 wget -qO- http://web.{namespace}.svc.cluster.local/index.html; \
         ! nslookup nobody.{namespace}.svc.cluster.local"
    );
    kubectl
        .apply(&pod("client", &script).to_string())?
        .admitted()?;
    let said = outcome(&kubectl, "client")?;
    assert_eq!(said.matches("by-name").count(), 2, "{said}");
    ensure!(said.contains("NXDOMAIN"), "{said}");
    eprintln!("asked by name after {:.1?}", began.elapsed());
    Ok(())
}

fn logs(gate: &Gate) -> Result<()> {
    let kubectl = gate.namespace()?;
    kubectl
        .apply(&pod("talks", "echo said by a pod; exec sleep 1000").to_string())?
        .admitted()?;
    wait(&kubectl, "pod/talks", "condition=Ready")?;
    eventually(WITHIN, || {
        let said = kubectl.run(&["logs", "talks"])?.admitted()?.stdout;
        ensure!(said == "said by a pod\n", "{said:?}");
        Ok(())
    })?;
    let ran = kubectl.run(&[
        "exec",
        "talks",
        "--",
        "sh",
        "-c",
        "hostname_is=$HOSTNAME; echo $hostname_is; exit 3",
    ])?;
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (3, "talks\n"),
        "{}",
        ran.stderr
    );
    Ok(())
}

/// Without help of a client's retries: kube-proxy's rules must be there when the pod counts as ready, or very soon.
fn host(gate: &Gate) -> Result<()> {
    let kubectl = gate.namespace()?;
    let address = web(&kubectl, "by-address")?;
    eventually(Duration::from_secs(5), || {
        let answer = get(&address)?;
        ensure!(answer.ends_with("by-address\n"), "{answer}");
        Ok(())
    })
}

pub fn get(address: &str) -> Result<String> {
    let mut stream =
        TcpStream::connect_timeout(&format!("{address}:80").parse()?, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET /index.html HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn back(gate: &Gate) -> Result<()> {
    let listener = std::net::TcpListener::bind((gate.host_address()?, 0))?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || -> Result<()> {
        for stream in listener.incoming() {
            let mut stream = stream?;
            let mut request = [0; 1024];
            let _ = stream.read(&mut request)?;
            stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\nfrom-host")?;
        }
        Ok(())
    });
    let kubectl = gate.namespace()?;
    let script = format!(
        "timeout 5 wget -qO- http://{}:{port}/",
        gate.host_address()?
    );
    kubectl
        .apply(&pod("client", &script).to_string())?
        .admitted()?;
    assert_eq!(outcome(&kubectl, "client")?, "from-host");
    Ok(())
}

/// The API server and the webhook are in the host's namespaces, where loopback is the same for both.
fn webhook(gate: &Gate) -> Result<()> {
    let kubectl = gate.kubectl().in_namespace("team-a");
    let session = |name: &str, managers: u32| {
        json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "SessionCluster", "metadata": {"name": name},
            "spec": {"state": "STOPPED", "flinkVersion": "1.20", "numberOfTaskManagers": managers}})
    };
    kubectl
        .apply(&session("asked", 1).to_string())?
        .admitted()?;
    let stored = kubectl.get("fsc/asked")?;
    ensure!(
        stored["spec"]["flinkConfiguration"]["taskmanager.numberOfTaskSlots"] == "2",
        "team-a's defaults are not filled in: {stored}"
    );
    let mut over = session("over", 1000);
    over["spec"]["state"] = json!("RUNNING");
    let said = kubectl.apply(&over.to_string())?.refused()?;
    ensure!(said.contains("[quota/cpu]"), "{said}");
    Ok(())
}

fn no_image(gate: &Gate) -> Result<()> {
    let kubectl = gate.namespace()?;
    let mut pod = pod("stuck", "true");
    pod["spec"]["containers"][0]["image"] = json!("localhost/no-such-image:1");
    pod["spec"]["containers"][0]["imagePullPolicy"] = json!("Never");
    kubectl.apply(&pod.to_string())?.admitted()?;
    eventually(WITHIN, || {
        let pod = kubectl.get("pod/stuck")?;
        let waiting = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
        ensure!(waiting["reason"] == "ErrImageNeverPull", "{waiting}");
        Ok(())
    })
}
