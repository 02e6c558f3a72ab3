//! Documents among the settings that set nothing: told with the reason, since whoever gave them thinks that they count.

use super::manifest::Manifest;
use crate::input::Document;
use sluice_policy::dialect::{flink_application, operator};
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard};

/// How many are told: a folder may hold other things than settings.
const MOST: usize = 20;

/// The files of the operator's ConfigMap.
const OPERATOR_FILES: [&str; 2] = ["flink-conf.yaml", "config.yaml"];

/// Tells it if this document sets nothing, and once only: a suite reads its settings anew for each of its tests.
pub(super) fn tell(document: &Document, manifest: &Manifest) {
    static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let Some(why) = why(manifest) else {
        return;
    };
    let note = document.fault(
        manifest.at,
        format_args!("{} sets nothing here: {why}", manifest.id),
    );
    let is_news =
        |mut told: MutexGuard<'_, BTreeSet<String>>| told.len() < MOST && told.insert(note.clone());
    if TOLD.lock().is_ok_and(is_news) {
        crate::note(format_args!("{note}"));
    }
}

fn why(manifest: &Manifest) -> Option<String> {
    let id = &manifest.id;
    let environment = &flink_application::ENVIRONMENT_KIND;
    let is_looked_up = match (id.group.as_str(), id.kind.as_str()) {
        ("", "Namespace") => true,
        ("", "ConfigMap") => id.name == operator::CONFIG_MAP,
        (group, kind) => (group, kind) == (environment.group, environment.kind),
    };
    if is_looked_up || manifest.dialect.is_some() {
        return None;
    }
    let holds = |file: &&str| {
        let data = manifest.object.get("data");
        data.is_some_and(|data| data.get(*file).is_some())
    };
    let name = operator::CONFIG_MAP;
    if id.group.is_empty() && id.kind == "ConfigMap" && OPERATOR_FILES.iter().any(holds) {
        return Some(format!(
            "the Apache operator's configuration is read from a ConfigMap that is called {name}; if it is this, call it so"
        ));
    }
    Some(format!(
        "settings are quotas, defaults, Environments, DeploymentTargets, Namespaces and the Apache operator's ConfigMap {name}; take it out"
    ))
}
