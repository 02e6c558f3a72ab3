//! The id under which Flink keeps what it recovers from. An id that users have set is only its beginning.
//!
//! Where high availability is ZooKeeper's, or somebody's own, Sluice cannot remove what is kept there when a cluster has gone. Under the same id the
//! next one would find the jobs of the one before and run them, beside those that Sluice starts. So it is another id for each start, and the same
//! while that lasts.
//!
//! Kubernetes' ConfigMaps are removed, and have an id of their own (`kubernetes.cluster-id`). But the files that they speak of lie in a folder of this id
//! below `high-availability.storageDir`, and a Flink that shares it reads the job results of others, and takes all jars away when it shuts down. So it is
//! one for each cluster. It is no part of what a cluster is made from: what runs without is not restarted for it.

use jiff::Timestamp;
use sluice_api::SessionCluster;
use sluice_policy::flink::other_names;

use super::application::Application;
use super::cluster::{FlinkCluster, HighAvailability};

/// Flink's option.
pub const KEY: &str = "high-availability.cluster-id";

/// Of a run of a Deployment. Its name alone would not do: another Deployment of that name counts its runs from 1 again.
pub(super) fn of_run(application: &Application) -> String {
    format!("{}-{}", application.job, application.job_id)
}

/// Of a session cluster since a start; `None`: it has no such high availability.
pub fn of_session_cluster(cluster: &SessionCluster, started: Timestamp) -> Option<String> {
    if HighAvailability::of_session_cluster(cluster) != HighAvailability::Other {
        return None;
    }
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (name, uid) = (text(&cluster.metadata.name), text(&cluster.metadata.uid));
    Some(format!("{name}-{uid}-{}", started.as_second()))
}

/// Of a cluster that shares a folder with nobody.
fn of_files(cluster: &FlinkCluster<'_>) -> String {
    match &cluster.application {
        Some(application) => of_run(application),
        None => format!("{}-{}", cluster.owner.name, cluster.owner.uid),
    }
}

/// What Flink is told.
pub(super) fn option(cluster: &FlinkCluster<'_>) -> Option<String> {
    let is_in_files = cluster.high_availability() == HighAvailability::Kubernetes;
    let id = match &cluster.start_id {
        Some(id) => id.clone(),
        None => is_in_files.then(|| of_files(cluster))?,
    };
    let mut names = std::iter::once(KEY).chain(other_names(KEY));
    let users = names.find_map(|name| cluster.option(name).filter(|text| !text.is_empty()));
    Some(match users {
        Some(users) => format!("{}-{id}", users.trim_end_matches('/')),
        None => id,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use sluice_api::{DeploymentTemplateSpec, Job};

    use super::*;
    use crate::objects::{BuildSettings, Input, Owner, build};

    const ZOOKEEPER: &str = "zookeeper";

    fn cluster(options: &Value) -> SessionCluster {
        serde_json::from_value(
            json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "SessionCluster",
            "metadata": {"name": "a", "namespace": "n", "uid": "u"},
            "spec": {"flinkVersion": "1.20", "flinkConfiguration": options}}),
        )
        .unwrap()
    }

    /// The line of the configuration file, and the hash that what runs is compared by.
    fn told(flink: &FlinkCluster<'_>) -> (Option<String>, String) {
        let settings = BuildSettings {
            sluice_image: "sluice:1".into(),
        };
        let built = build(flink, &settings).unwrap();
        let text = built
            .iter()
            .find_map(|built| built.object.pointer("/data/config.yaml"))
            .and_then(Value::as_str)
            .unwrap();
        let line = text.lines().find(|line| line.starts_with(KEY));
        (line.map(str::to_owned), Input::of(flink).text().to_owned())
    }

    fn of_start(options: &Value, second: i64) -> (Option<String>, String) {
        let cluster = cluster(options);
        let started = Timestamp::from_second(second).unwrap();
        let mut flink = FlinkCluster::of_session_cluster(&cluster, "n", 1).unwrap();
        flink.start_id = of_session_cluster(&cluster, started);
        told(&flink)
    }

    #[test]
    fn each_start_of_a_session_cluster_has_its_own() {
        let options = json!({"high-availability.type": ZOOKEEPER});
        let first = of_start(&options, 1000);
        assert_eq!(
            first.0.as_deref(),
            Some(r#"high-availability.cluster-id: "a-u-1000""#)
        );
        assert_eq!(first, of_start(&options, 1000));
        let next = of_start(&options, 1060);
        assert_ne!(first.0, next.0);
        assert_ne!(first.1, next.1, "what is made of it is made anew");
    }

    #[test]
    fn what_a_user_has_set_is_its_beginning() {
        for name in [KEY, "high-availability.zookeeper.path.namespace"] {
            let options = json!({"high-availability": ZOOKEEPER, (name): "/team-a/"});
            let (line, _) = of_start(&options, 1000);
            assert_eq!(
                line.as_deref(),
                Some(r#"high-availability.cluster-id: "/team-a-a-u-1000""#),
                "{name}"
            );
        }
    }

    #[test]
    fn files_of_kubernetes_high_availability_have_a_folder_for_each_cluster() {
        let options = json!({"high-availability.type": "kubernetes"});
        let (line, input) = of_start(&options, 1000);
        assert_eq!(
            line.as_deref(),
            Some(r#"high-availability.cluster-id: "a-u""#)
        );
        assert_eq!(of_start(&options, 2000), (line, input.clone()));
        // As an earlier release has started it, without.
        assert_eq!(input, "010afb68db31d274");
        let options = json!({});
        assert_eq!(of_start(&options, 1000).0, None);
        assert_eq!(of_start(&options, 1000).1, of_start(&options, 2000).1);
    }

    #[test]
    fn each_run_of_a_deployment_has_its_own() {
        let template: DeploymentTemplateSpec = serde_json::from_value(json!({
            "artifact": {"jarUri": "https://h/a.jar", "flinkVersion": "1.20"},
            "flinkConfiguration": {"high-availability.type": ZOOKEEPER}}))
        .unwrap();
        let of_run = |name: &str, uid: &str| {
            let run: Job =
                serde_json::from_value(json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "Job",
                "metadata": {"name": name, "namespace": "n", "uid": uid}, "spec": {}}))
                .unwrap();
            let owner = Owner {
                kind: "Deployment",
                namespace: "n".into(),
                name: "d".into(),
                uid: "u".into(),
            };
            let application = Application::of(&run, &template);
            let flink = FlinkCluster::of_run(owner, "n", &template, application).unwrap();
            told(&flink).0.unwrap()
        };
        let first = of_run("d-1", "6f0c-01");
        assert_eq!(first, r#"high-availability.cluster-id: "d-1-6f0c01""#);
        assert_ne!(first, of_run("d-2", "6f0c-02"));
        // Of another Deployment of the same name.
        assert_ne!(first, of_run("d-1", "6f0c-03"));
    }
}
