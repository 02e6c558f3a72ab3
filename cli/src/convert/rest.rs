//! Bodies of the session REST API, recognised by their shape: create-session and create-session-job.

use super::{Faults, Wishes, counterpart, name};
use crate::yaml::{Content, Entry, Node};
use sluice_policy::FieldPath;

/// Fields of create-session, and what they are called in a SessionCluster's spec.
const SESSION: [(&str, &[&str]); 7] = [
    ("runtime", &["flinkVersion"]),
    ("jars", &["jars"]),
    ("plugins", &["plugins"]),
    ("flinkConfiguration", &["flinkConfiguration"]),
    ("logConfiguration", &["logConfiguration"]),
    ("jobManagerResource", &["resources", "jobmanager"]),
    ("taskManagerResource", &["resources", "taskmanager"]),
];

/// Fields of create-session-job, which a SessionJob's spec has by the same names.
const JOB: [(&str, &[&str]); 2] = [
    ("flinkConfiguration", &["flinkConfiguration"]),
    ("job", &["job"]),
];

/// One body.
pub(super) fn convert(root: &Node, wishes: &Wishes<'_>, faults: &mut Faults<'_>) -> Option<Node> {
    let has = |keys: &[&str]| keys.iter().any(|key| root.get(key).is_some());
    let cluster = has(&["runtime", "jobManagerResource", "taskManagerResource"]);
    if has(&["job"]) && cluster {
        faults.add(
            root.at,
            "this is the body of create-application (job together with runtime or resources), which has no counterpart in \
             Sluice; split it into a session and a session job, or write a Deployment",
        );
        return None;
    }
    if has(&["job"]) {
        return Some(job(root, wishes, faults));
    }
    if cluster || has(&["jars", "plugins", "logConfiguration"]) {
        return Some(session(root, wishes, faults));
    }
    faults.add(
        root.at,
        "neither a manifest (apiVersion and kind) nor the body of create-session (runtime, jobManagerResource, ...) or \
         create-session-job (job)",
    );
    None
}

fn session(root: &Node, wishes: &Wishes<'_>, faults: &mut Faults<'_>) -> Node {
    let mut spec = Node::map();
    // To create a session over REST is to launch it; an own SessionCluster that says nothing stays STOPPED.
    spec.set("state", Node::text("RUNNING"));
    fields(root, &SESSION, "SessionCluster", &mut spec, faults);
    if let Some(version) = spec.get_mut("flinkVersion") {
        match version.spelling().and_then(flink_version) {
            Some(text) => version.content = Content::Text(text),
            None => faults.add(
                version.at,
                "runtime must look like FLINK_1_17, as only then it names a version of Flink; write it so",
            ),
        }
    }
    object("SessionCluster", root, spec, wishes, faults)
}

fn job(root: &Node, wishes: &Wishes<'_>, faults: &mut Faults<'_>) -> Node {
    let mut spec = Node::map();
    match wishes
        .session
        .map(|session| (session, name::label(session)))
    {
        Some((_, Some(session))) => spec.set("sessionClusterName", Node::text(session)),
        Some((session, None)) => {
            faults.add(
                root.at,
                format_args!("--session: no DNS label can be made of \"{session}\""),
            );
        }
        None => faults.notes.push(faults.document.fault(
            root.at,
            "the body does not say which session the job is for; add --session NAME, or set spec.sessionClusterName",
        )),
    }
    fields(root, &JOB, "SessionJob", &mut spec, faults);
    object("SessionJob", root, spec, wishes, faults)
}

fn fields(
    root: &Node,
    table: &[(&str, &[&str])],
    kind: &str,
    spec: &mut Node,
    faults: &mut Faults<'_>,
) {
    for Entry { key, at, value } in root.entries().unwrap_or_default() {
        if key == "name" || value.is_null() {
            continue;
        }
        match table
            .iter()
            .find(|(from, _)| from == key)
            .map(|(_, to)| *to)
        {
            Some([field]) => spec.set(field, value.clone()),
            Some([outer, inner]) => {
                let mut map = spec.take(outer).unwrap_or_else(Node::map);
                map.set(inner, value.clone());
                spec.set(outer, map);
            }
            _ => faults.add(
                *at,
                format_args!(
                    "{key} has no counterpart in Sluice's {kind}; take it out if you can do without"
                ),
            ),
        }
    }
}

fn object(
    kind: &str,
    root: &Node,
    mut spec: Node,
    wishes: &Wishes<'_>,
    faults: &mut Faults<'_>,
) -> Node {
    if let Some(schema) = counterpart::spec_schema(kind) {
        counterpart::fit(&mut spec, schema, &FieldPath::of("spec"), kind, faults);
    }
    let mut metadata = Node::map();
    if let Some(name) = root.get("name") {
        metadata.set("name", name.clone());
    }
    let mut node = Node::map();
    node.at = root.at;
    node.set("apiVersion", Node::text(sluice_api::API_VERSION));
    node.set("kind", Node::text(kind));
    node.set("metadata", metadata);
    node.set("spec", spec);
    name::place(&mut node, wishes, None, faults);
    node
}

/// `FLINK_1_17` is "1.17".
fn flink_version(runtime: &str) -> Option<String> {
    let (major, minor) = runtime
        .trim()
        .to_ascii_uppercase()
        .strip_prefix("FLINK_")?
        .split_once('_')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))?;
    let digits = |text: &str| {
        !text.is_empty() && text.len() <= 3 && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    (digits(&major) && digits(&minor)).then(|| format!("{major}.{minor}"))
}
