//! What pod templates add to a pod: sidecars, init containers, what the pod as a whole asks for, and its overhead. The main container's own CPU in
//! a template does not count, as the operator overwrites it.

use super::cpu;
use crate::dialect::apache::conf::Conf;
use crate::dialect::apache::resources::Role;
use crate::dialect::apache::templates::BY_NAME;
use crate::finding::Cause;
use crate::json;
use crate::path::FieldPath;
use crate::quantity::MilliCpu;
use serde_json::Value;

const MAIN: &str = "flink-main-container";

/// CPU beside the main container.
#[derive(Default)]
pub(super) struct Extras {
    /// Sidecars, and init containers that keep running.
    beside: MilliCpu,
    /// The most that is asked for while init containers run.
    at_start: MilliCpu,
    /// What the pod as a whole asks for, whatever its containers do (`spec.resources` of a pod, Kubernetes 1.34 and later).
    whole: MilliCpu,
    /// What the pod's runtime takes beside all that (`spec.overhead` of a pod).
    overhead: MilliCpu,
}

impl Extras {
    /// What Kubernetes reserves for the pod.
    pub(super) fn around(&self, main: MilliCpu) -> MilliCpu {
        main.plus(self.beside)
            .max(self.at_start)
            .max(self.whole)
            .plus(self.overhead)
    }
}

/// One container, merged from up to two templates: where it stands first, and what it says.
#[derive(Clone)]
struct Container<'t> {
    name: Option<&'t str>,
    request: Option<(FieldPath, &'t Value)>,
    limit: Option<(FieldPath, &'t Value)>,
    always: bool,
}

/// The extras of a role: `spec.podTemplate` with the role's own template merged into it.
pub(super) fn extras(spec: &Value, role: Role, conf: &Conf<'_>) -> Result<Extras, Cause> {
    let by_name = conf.flag(BY_NAME, false).unwrap_or(false);
    let common = FieldPath::of("spec.podTemplate");
    let own = role.field().key("podTemplate");
    let merged = |list: &'static str| {
        let base = containers(
            spec,
            &["podTemplate", "spec", list],
            &common.key("spec").key(list),
        );
        let over = containers(
            spec,
            &[role.key(), "podTemplate", "spec", list],
            &own.key("spec").key(list),
        );
        merge(base, over, by_name)
    };
    let mut extras = Extras::default();
    for container in merged("initContainers") {
        let cpu = cpu_of(&container)?;
        if container.always {
            extras.beside = extras.beside.plus(cpu);
            extras.at_start = extras.at_start.max(extras.beside);
        } else {
            extras.at_start = extras.at_start.max(extras.beside.plus(cpu));
        }
    }
    for container in merged("containers") {
        if container.name != Some(MAIN) {
            extras.beside = extras.beside.plus(cpu_of(&container)?);
        }
    }
    let of_pod = |keys: &[&str]| of_pod(spec, role, [&own, &common], keys);
    extras.whole = of_pod(&["resources", "requests", "cpu"])?;
    extras.overhead = of_pod(&["overhead", "cpu"])?;
    Ok(extras)
}

/// A figure of the pod itself, in the role's own template or in the common one. A pod's limit is no request, as Flink's container always
/// has one: Kubernetes takes the limit for it only where no container asks for any (`defaultPodRequests`).
fn of_pod(
    spec: &Value,
    role: Role,
    [own, common]: [&FieldPath; 2],
    keys: &[&str],
) -> Result<MilliCpu, Cause> {
    let templates: [(&[&str], _); 2] = [
        (&[role.key(), "podTemplate", "spec"], own),
        (&["podTemplate", "spec"], common),
    ];
    for (template, field) in templates {
        if let Some(value) = json::present(spec, &[template, keys].concat()) {
            let at = keys
                .iter()
                .fold(field.key("spec"), |path, key| path.key(key));
            return cpu::quantity(value).map_err(|error| cpu::cause(at, error));
        }
    }
    Ok(MilliCpu::ZERO)
}

fn containers<'t>(spec: &'t Value, keys: &[&str], field: &FieldPath) -> Vec<Container<'t>> {
    let Some(Value::Array(list)) = json::get(spec, keys) else {
        return Vec::new();
    };
    list.iter()
        .enumerate()
        .map(|(position, container)| {
            let field = field.index(position);
            let cpu = |section: &str| {
                let value = json::present(container, &["resources", section, "cpu"])?;
                Some((field.key("resources").key(section).key("cpu"), value))
            };
            Container {
                name: json::text(container, &["name"]),
                request: cpu("requests"),
                limit: cpu("limits"),
                always: json::text(container, &["restartPolicy"]) == Some("Always"),
            }
        })
        .collect()
}

/// Merges as the operator does: by position, or by name where it is told to and all have one.
fn merge<'t>(
    base: Vec<Container<'t>>,
    over: Vec<Container<'t>>,
    by_name: bool,
) -> Vec<Container<'t>> {
    let by_name = by_name
        && base
            .iter()
            .chain(&over)
            .all(|container| container.name.is_some());
    let mut merged = base;
    for (position, container) in over.into_iter().enumerate() {
        let slot = if by_name {
            merged.iter_mut().find(|known| known.name == container.name)
        } else {
            merged.get_mut(position)
        };
        match slot {
            Some(known) => {
                known.name = container.name.or(known.name);
                known.request = container.request.or(known.request.take());
                known.limit = container.limit.or(known.limit.take());
                known.always |= container.always;
            }
            None => merged.push(container),
        }
    }
    merged
}

fn cpu_of(container: &Container<'_>) -> Result<MilliCpu, Cause> {
    match container.request.as_ref().or(container.limit.as_ref()) {
        None => Ok(MilliCpu::ZERO),
        Some((field, value)) => {
            cpu::quantity(value).map_err(|error| cpu::cause(field.clone(), error))
        }
    }
}
