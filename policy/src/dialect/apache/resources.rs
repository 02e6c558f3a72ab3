//! Memory, storage and CPU of JobManager and TaskManagers: `resource` (the old form) and `resources`.

use super::amount::Amount;
use super::conf::Conf;
use super::rules::{MEMORY, RESOURCES};
use super::{java, memory_size, process_memory};
use crate::finding::{CauseReason, Findings};
use crate::json;
use crate::path::FieldPath;
use serde_json::Value;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    JobManager,
    TaskManager,
}

impl Role {
    /// `jobManager`: the key below `spec`.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Role::JobManager => "jobManager",
            Role::TaskManager => "taskManager",
        }
    }

    pub(crate) fn field(self) -> FieldPath {
        FieldPath::of("spec").key(self.key())
    }
}

/// Judges memory and resources of a role.
pub(crate) fn judge(spec: &Value, role: Role, conf: &Conf<'_>, findings: &mut Findings) {
    memory_is_given(spec, role, conf, findings);
    old_form(spec, role, findings);
    for section in ["requests", "limits"] {
        quantities(spec, role, section, findings);
    }
    for name in ["cpu", "memory"] {
        request_within_limit(spec, role, name, findings);
    }
}

fn memory_is_given(spec: &Value, role: Role, conf: &Conf<'_>, findings: &mut Findings) {
    let key = role.key();
    let old = json::text(spec, &[key, "resource", "memory"])
        .is_some_and(|memory| !java::is_blank(memory));
    let new = ["requests", "limits"]
        .iter()
        .any(|section| json::present(spec, &[key, "resources", section, "memory"]).is_some());
    if old || new {
        return;
    }
    let derived = match role {
        Role::JobManager => process_memory::job_manager(conf),
        Role::TaskManager => process_memory::task_manager(conf),
    };
    if let Err(why) = derived {
        findings.refuse(
            &MEMORY,
            role.field().key("resources").key("requests").key("memory"),
            CauseReason::Required,
            format!(
                "memory is not given: {why}; write a size such as \"2048m\" or \"2Gi\" here or in {}",
                role.field().key("resource").key("memory")
            ),
        );
    }
}

fn old_form(spec: &Value, role: Role, findings: &mut Findings) {
    let field = role.field().key("resource");
    if let Some(memory) = json::text(spec, &[role.key(), "resource", "memory"])
        && memory_size::resource(memory).is_none()
    {
        findings.refuse(
            &MEMORY,
            field.key("memory"),
            CauseReason::Invalid,
            format!(
                "{} is no size; write a whole size such as \"2048m\" or \"2Gi\"",
                json::quoted(memory)
            ),
        );
    }
    if let Some(storage) = json::text(spec, &[role.key(), "resource", "ephemeralStorage"])
        && Amount::parse(storage).is_none()
    {
        findings.refuse(
            &RESOURCES,
            field.key("ephemeralStorage"),
            CauseReason::Invalid,
            format!(
                "{} is no quantity; write one such as \"2Gi\" or \"2G\"",
                json::quoted(storage)
            ),
        );
    }
}

fn quantities(spec: &Value, role: Role, section: &str, findings: &mut Findings) {
    let Some(Value::Object(map)) = json::get(spec, &[role.key(), "resources", section]) else {
        return;
    };
    let field = role.field().key("resources").key(section);
    for (name, value) in map {
        let Some(text) = json::scalar_text(value) else {
            continue; // null is absent; the rest is of the wrong type and told so
        };
        let problem = match name.as_str() {
            "memory" => match memory_size::resource(&text) {
                None => Some("is no size; write a whole size such as \"2048m\" or \"2Gi\""),
                Some(0) => Some("must be more than nothing"),
                Some(_) => None,
            },
            "cpu" => match Amount::parse(&text) {
                None => Some("is no quantity; write one such as \"500m\" or \"2\""),
                Some(amount) if !amount.is_positive() => Some("must be more than 0"),
                Some(_) => None,
            },
            _ => match Amount::parse(&text) {
                None => Some("is no quantity; write one such as \"2Gi\" or \"1\""),
                Some(amount) if amount.is_negative() => Some("must not be negative"),
                Some(_) => None,
            },
        };
        if let Some(problem) = problem {
            findings.refuse(
                &RESOURCES,
                field.key(name),
                CauseReason::Invalid,
                format!("{} {problem}", json::shown(value)),
            );
        }
    }
}

fn request_within_limit(spec: &Value, role: Role, name: &str, findings: &mut Findings) {
    let value = |section: &str| {
        let value = json::get(spec, &[role.key(), "resources", section, name])?;
        let text = json::scalar_text(value)?;
        let number = if name == "memory" {
            memory_size::resource(&text)?.to_string().parse().ok()?
        } else {
            Amount::parse(&text)?.as_f64()
        };
        Some((value, number))
    };
    if let (Some((request, requested)), Some((limit, limited))) =
        (value("requests"), value("limits"))
        && requested > limited
    {
        findings.refuse(
            &RESOURCES,
            role.field().key("resources").key("requests").key(name),
            CauseReason::Invalid,
            format!(
                "the request {} is above the limit {}; lower one or raise the other",
                json::shown(request),
                json::shown(limit)
            ),
        );
    }
}
