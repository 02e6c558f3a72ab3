//! What somebody has taken away from a run whose JobManager stands.

use crate::objects::{Built, FlinkCluster, Input, MadeKind};
use crate::runtime::made::Made;

/// What is made again: what is not there. What is there was made by this version of Sluice or by an earlier one, whose objects differ (the image
/// that fetches jars is another one at each release): what runs is not restarted for that. Nor is what is on its way out looked at: once it is
/// gone, a watch tells.
pub(super) fn missing(built: Vec<Built>, made: &[Made]) -> Vec<Built> {
    let stands = |built: &Built| {
        made.iter().any(|made| {
            made.kind == built.kind && made.name == built.name && made.namespace == built.namespace
        })
    };
    // A JobManager is made once.
    let is_made_again = |built: &Built| built.kind != MadeKind::Job && !stands(built);
    built.into_iter().filter(is_made_again).collect()
}

/// Whether an earlier release of Sluice has started this run, without an id of its own for its high availability ([`start_id`]). It is told none
/// now: what is started of it from now on would look for the rest elsewhere.
///
/// [`start_id`]: crate::objects::start_id
pub(super) fn runs_without_id(cluster: &FlinkCluster<'_>, made: &[Made]) -> bool {
    let mut without = cluster.clone();
    if without.start_id.take().is_none() {
        return false;
    }
    let input = Input::of(&without);
    let mut jobmanagers = made.iter().filter(|made| made.kind == MadeKind::Job);
    jobmanagers.any(|made| input.is(made.input.as_deref()))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::{Value, json};
    use sluice_api::{Deployment, Job};

    use super::runs_without_id;
    use crate::deployment::sight::{Answer, Step};
    use crate::deployment::tests::context::context;
    use crate::objects::{Application, BuildSettings, FlinkCluster, MadeKind, Owner, build};
    use crate::played::ApiServer;
    use crate::runtime::going::Going;
    use crate::runtime::made::Made;

    fn deployment() -> Deployment {
        serde_json::from_value(
            json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "Deployment", "spec": {},
            "metadata": {"name": "d", "namespace": "n", "uid": "u"}}),
        )
        .unwrap()
    }

    fn run() -> Job {
        run_with(&json!({}))
    }

    fn run_with(options: &Value) -> Job {
        serde_json::from_value(json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "Job",
            "metadata": {"name": "d-1", "namespace": "n", "uid": "6f0c0d5e-0000-4000-8000-000000000001"},
            "spec": {"targetNamespace": "n", "template": {"spec": {"artifact": {"jarUri": "https://h/a.jar", "flinkVersion": "1.20"},
                "flinkConfiguration": options}}},
            "status": {"state": "STARTED", "jobmanagerUid": "jm"}}))
        .unwrap()
    }

    /// The run's cluster, with these options.
    fn cluster_with<T>(options: &Value, then: impl FnOnce(FlinkCluster<'_>) -> T) -> T {
        let run = run_with(options);
        let template = crate::objects::application::frozen(run.spec.template.as_ref()).unwrap();
        let owner = Owner {
            kind: "Deployment",
            namespace: "n".into(),
            name: "d".into(),
            uid: "u".into(),
        };
        let application = Application::of(&run, &template);
        then(FlinkCluster::of_run(owner, "n", &template, application).unwrap())
    }

    /// All of a cluster, as an earlier release has made it.
    fn made_of(cluster: &FlinkCluster<'_>) -> Vec<Made> {
        let before = BuildSettings {
            sluice_image: "sluice:0".to_owned(),
        };
        let built = build(cluster, &before).unwrap();
        let objects = built.iter().map(|built| {
            let object = serde_json::from_value(built.object.clone()).unwrap();
            Made::read(built.kind, &object).unwrap().1
        });
        objects.collect()
    }

    fn made_before() -> Vec<Made> {
        cluster_with(&json!({}), |cluster| made_of(&cluster))
    }

    async fn written(made: &[Made]) -> (Vec<String>, Answer) {
        let server = ApiServer::answering(|what| {
            let stored: Value =
                json!({"apiVersion": "v1", "kind": "X", "metadata": {"name": "x", "uid": "x"}});
            if what.starts_with("GET") {
                (404, crate::played::refusal(404))
            } else {
                (200, stored)
            }
        })
        .await;
        let answer = context(&server)
            .act(&deployment(), Some(&run()), made, &Step::Make)
            .await
            .unwrap();
        let mut asked = server.asked();
        asked.retain(|what| !what.starts_with("GET"));
        (asked, answer)
    }

    /// What is missing is made again by another release of Sluice, whose image its TaskManagers would be restarted for.
    #[tokio::test]
    async fn what_stands_of_a_run_is_left_alone_when_something_of_it_is_made_again() {
        let all = made_before();
        let config = "PATCH /api/v1/namespaces/n/configmaps/d-dep-config";
        let service = "PATCH /api/v1/namespaces/n/services/d-dep-jobmanager";
        let workload = "PATCH /apis/apps/v1/namespaces/n/deployments/d-dep-taskmanager";
        for (gone, expected) in [
            (MadeKind::ConfigMap, config),
            (MadeKind::Service, service),
            (MadeKind::Deployment, workload),
        ] {
            let left: Vec<Made> = all.iter().filter(|one| one.kind != gone).cloned().collect();
            let (asked, answer) = written(&left).await;
            assert_eq!(asked, [expected], "{gone}");
            assert_eq!(answer, Answer::Waiting);
        }
    }

    #[tokio::test]
    async fn what_is_on_its_way_out_keeps_nothing_else_from_being_made_again() {
        let mut left = made_before();
        left.retain(|one| one.kind != MadeKind::Service);
        for one in &mut left {
            if one.kind == MadeKind::ConfigMap {
                one.going = Some(Box::new(Going::from_node("node-1", Timestamp::now())));
            }
        }
        let (asked, _) = written(&left).await;
        assert_eq!(
            asked,
            ["PATCH /api/v1/namespaces/n/services/d-dep-jobmanager"]
        );
    }

    #[test]
    fn a_run_that_was_started_without_an_id_of_its_own_is_told_none() {
        let zookeeper = json!({"high-availability.type": "zookeeper"});
        let (with, without) = cluster_with(&zookeeper, |cluster| {
            let mut before = cluster.clone();
            assert!(before.start_id.take().is_some());
            let (now, before) = (made_of(&cluster), made_of(&before));
            let without = |made: &[Made]| runs_without_id(&cluster, made);
            (without(&now), without(&before))
        });
        assert!(!with);
        assert!(without);
        let never = cluster_with(&json!({}), |cluster| {
            runs_without_id(&cluster, &made_of(&cluster))
        });
        assert!(!never, "there is none to be taken away");
    }
}
