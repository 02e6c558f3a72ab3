//! CPU that a Flink cluster of an own kind needs: one JobManager and its TaskManagers, with the containers that pod
//! templates add. Fields that are absent count as the built-in defaults, so an object that was stored while nobody
//! filled them in has a charge too.

use super::at::At;
use super::pods::{MAIN_CONTAINER, TEMPLATES};
use super::rules::OwnRules;
use crate::finding::{Cause, CauseReason};
use crate::json;
use crate::quantity::MilliCpu;
use serde_json::Value;

/// Built-in CPU of a JobManager and of a TaskManager.
pub(crate) const DEFAULT_CPU: MilliCpu = MilliCpu(1000);

/// `jobmanager x 1 + taskmanager x task_managers`, for a spec (or template spec) at `at`; each is `resources.*.cpu` and
/// what its pod template adds.
pub(crate) fn of_cluster(
    spec: &Value,
    at: &At<'_>,
    task_managers: u64,
    rules: &'static OwnRules,
) -> Result<MilliCpu, Vec<Cause>> {
    let mut reader = Reader {
        rules,
        causes: Vec::new(),
    };
    let [jobmanager, taskmanager] = TEMPLATES.map(|(role, template)| {
        let resources = at.key("resources");
        let of_role = resources.key(role);
        let main = json::present(spec, &["resources", role, "cpu"])
            .map_or(DEFAULT_CPU, |value| reader.cpu(value, &of_role.key("cpu")));
        let kubernetes = at.key("kubernetes");
        match json::present(spec, &["kubernetes", template, "spec"]) {
            Some(pod) => reader.pod(pod, main, &kubernetes.key(template).key("spec")),
            None => main,
        }
    });
    if reader.causes.is_empty() {
        Ok(jobmanager.plus(taskmanager.times(task_managers)))
    } else {
        Err(reader.causes)
    }
}

struct Reader {
    rules: &'static OwnRules,
    causes: Vec<Cause>,
}

impl Reader {
    fn cpu(&mut self, value: &Value, at: &At<'_>) -> MilliCpu {
        MilliCpu::parse(value).unwrap_or_else(|error| {
            self.causes.push(Cause {
                rule: self.rules.field,
                field: at.path(),
                reason: CauseReason::Invalid,
                message: format!("{} {error}", json::shown(value)),
            });
            MilliCpu::ZERO
        })
    }

    /// What Kubernetes' scheduler sets aside for a pod: all containers together, init containers that keep running
    /// among them, or the largest of the other init containers with those that run before it; and what the pod's runtime takes beside them.
    fn pod(&mut self, pod: &Value, main: MilliCpu, at: &At<'_>) -> MilliCpu {
        let entries = |key: &str| pod.get(key).and_then(Value::as_array).into_iter().flatten();
        let mut together = main;
        for (index, container) in entries("containers").enumerate() {
            if json::text(container, &["name"]) != Some(MAIN_CONTAINER) {
                together =
                    together.plus(self.container(container, &at.key("containers").index(index)));
            }
        }
        let (mut kept, mut largest) = (MilliCpu::ZERO, MilliCpu::ZERO);
        for (index, container) in entries("initContainers").enumerate() {
            let cpu = self.container(container, &at.key("initContainers").index(index));
            if json::text(container, &["restartPolicy"]) == Some("Always") {
                kept = kept.plus(cpu);
            } else {
                largest = largest.max(kept.plus(cpu));
            }
        }
        let overhead = json::present(pod, &["overhead", "cpu"]).map_or(MilliCpu::ZERO, |value| {
            self.cpu(value, &at.key("overhead").key("cpu"))
        });
        together.plus(kept).max(largest).plus(overhead)
    }

    /// The request, or the limit where there is none, as Kubernetes has it.
    fn container(&mut self, container: &Value, at: &At<'_>) -> MilliCpu {
        for kind in ["requests", "limits"] {
            if let Some(value) = json::present(container, &["resources", kind, "cpu"]) {
                return self.cpu(value, &at.key("resources").key(kind).key("cpu"));
            }
        }
        MilliCpu::ZERO
    }
}

/// A whole number at `keys` below `spec`, or `absent` where there is none.
pub(crate) fn count(
    spec: &Value,
    keys: &[&str],
    absent: u64,
    at: &At<'_>,
    rules: &'static OwnRules,
) -> Result<u64, Vec<Cause>> {
    let Some(value) = json::present(spec, keys) else {
        return Ok(absent);
    };
    value.as_u64().ok_or_else(|| {
        vec![Cause {
            rule: rules.field,
            field: keys.iter().fold(at.path(), |path, key| path.key(key)),
            reason: CauseReason::Invalid,
            message: format!("must be a whole number from 0, not {}", json::shown(value)),
        }]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::session_cluster::RULES;
    use crate::path::FieldPath;
    use rstest::rstest;
    use serde_json::json;

    fn demand(spec: &Value) -> Result<u64, Vec<String>> {
        let base = FieldPath::of("spec");
        of_cluster(spec, &At::Root(&base), 3, &RULES)
            .map(|cpu| cpu.0)
            .map_err(|causes| {
                causes
                    .iter()
                    .map(|cause| format!("{}: {}", cause.field, cause.message))
                    .collect()
            })
    }

    fn container(name: &str, cpu: &str) -> Value {
        json!({"name": name, "resources": {"requests": {"cpu": cpu}}})
    }

    #[rstest]
    #[case::nothing_said(json!({}), 4000)]
    #[case::sidecars(json!({"containers": [container("a", "100m"), container("b", "0.2")]}), 4900)]
    #[case::limit_counts_as_request(json!({"containers": [{"name": "a", "resources": {"limits": {"cpu": "1"}}}]}), 7000)]
    #[case::the_main_container_is_in_resources(json!({"containers": [container("flink-main-container", "5")]}), 4000)]
    #[case::a_small_init_container_is_free(json!({"initContainers": [container("i", "1")]}), 4000)]
    #[case::a_large_one_is_not(json!({"initContainers": [container("i", "4")]}), 13_000)]
    #[case::one_that_stays_adds_up(json!({"initContainers": [
        {"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "1"}}}, container("i", "1")]}), 7000)]
    #[case::the_runtime_takes_its_part(json!({"overhead": {"cpu": "250m", "memory": "1Gi"}, "initContainers": [container("i", "4")]}), 13_750)]
    fn containers_that_a_template_adds_cost(#[case] pod: Value, #[case] expected: u64) {
        let spec = json!({"kubernetes": {"taskManagerPodTemplate": {"spec": pod}}});
        assert_eq!(demand(&spec), Ok(expected));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let spec = json!({
            "resources": {"jobmanager": {"cpu": "x"}},
            "kubernetes": {"jobManagerPodTemplate": {"spec": {"containers": [container("a", "y")]}}},
        });
        assert_eq!(
            demand(&spec),
            Err(vec![
                "spec.resources.jobmanager.cpu: \"x\" must be a number of CPUs such as 0.5, 2 or \"500m\"".to_owned(),
                "spec.kubernetes.jobManagerPodTemplate.spec.containers[0].resources.requests.cpu: \"y\" must be a number \
                 of CPUs such as 0.5, 2 or \"500m\"".to_owned(),
            ])
        );
    }
}
