//! Volumes and their mounts, as pairs (`pods.volumeMounts`) and as Kubernetes writes them (pod templates).

use super::names::dns_label;
use super::{readable, refuse, reserved, text};
use crate::dialect::own::at::At;
use crate::dialect::own::check::Judge;
use crate::finding::CauseReason;
use crate::json;
use k8s_openapi::api::core::v1::{Volume, VolumeMount};
use serde_json::Value;
use std::collections::HashSet;

/// Judges `pods.volumeMounts`: volumes with the place where Flink's container mounts them.
pub(super) fn pairs(pairs: &[Value], at: &At<'_>, judge: &mut Judge<'_>) {
    let mut names = HashSet::new();
    let mut paths = HashSet::new();
    for (index, pair) in pairs.iter().enumerate() {
        if !pair.is_object() {
            continue; // told by the check of the field
        }
        let at = at.index(index);
        let name = dns_label(pair, "a volume", &at, judge);
        if name.is_some_and(|name| !names.insert(name)) {
            twice(&at.key("name"), "volume", judge);
        }
        if let Some((name, volume)) = name.zip(pair.get("volume")) {
            reserved::volume(name, volume, &at, judge);
        }
        match pair.get("volume").filter(|volume| !volume.is_null()) {
            None => refuse(
                &at.key("volume"),
                CauseReason::Required,
                "says where the data comes from, such as {\"secret\": {\"secretName\": \"x\"}} or {\"emptyDir\": {}}",
                judge,
            ),
            Some(volume) => {
                same_name(volume, name, &at.key("volume"), judge);
                sources(volume, &at.key("volume"), judge);
            }
        }
        if let Some(mount) = pair.get("volumeMount").filter(|mount| !mount.is_null()) {
            same_name(mount, name, &at.key("volumeMount"), judge);
            self::mount(mount, &mut paths, &at.key("volumeMount"), judge);
        }
    }
}

/// Judges `volumes` of a pod template and returns their names.
pub(super) fn volumes<'v>(
    volumes: &'v [Value],
    at: &At<'_>,
    judge: &mut Judge<'_>,
) -> HashSet<&'v str> {
    let mut names = HashSet::new();
    for (index, volume) in volumes.iter().enumerate() {
        let at = at.index(index);
        let name = dns_label(volume, "a volume", &at, judge);
        if name.is_some_and(|name| !names.insert(name)) {
            twice(&at.key("name"), "volume", judge);
        }
        if let Some(name) = name {
            reserved::volume(name, volume, &at, judge);
        }
        sources(volume, &at, judge);
    }
    names
}

/// Judges `volumeMounts` of a container.
pub(super) fn mounts(
    mounts: &[Value],
    volumes: &HashSet<&str>,
    at: &At<'_>,
    judge: &mut Judge<'_>,
) {
    let mut paths = HashSet::new();
    for (index, mount) in mounts.iter().enumerate() {
        let at = at.index(index);
        match text(mount, "name") {
            // Volumes that Sluice adds itself may be mounted too.
            Some(name)
                if volumes.contains(name)
                    || name.starts_with("flink-")
                    || name.starts_with("sluice-") => {}
            Some(name) => {
                let message = format!(
                    "there is no volume {name} in the pod template; add it to spec.volumes"
                );
                refuse(&at.key("name"), CauseReason::NotFound, message, judge);
            }
            None => refuse(
                &at.key("name"),
                CauseReason::Required,
                "a mount needs the name of its volume",
                judge,
            ),
        }
        self::mount(mount, &mut paths, &at, judge);
    }
}

fn mount<'v>(mount: &'v Value, paths: &mut HashSet<&'v str>, at: &At<'_>, judge: &mut Judge<'_>) {
    match text(mount, "mountPath") {
        None | Some("") => refuse(
            &at.key("mountPath"),
            CauseReason::Required,
            "says where the volume is mounted, such as /data",
            judge,
        ),
        Some(path) if path.contains(':') => refuse(
            &at.key("mountPath"),
            CauseReason::Invalid,
            "must not contain ':'",
            judge,
        ),
        Some(path) if !paths.insert(path) => refuse(
            &at.key("mountPath"),
            CauseReason::Invalid,
            format!("{path} is mounted twice; keep one of them"),
            judge,
        ),
        Some(_) => {}
    }
    if let Some(sub) = text(mount, "subPath")
        && (sub.starts_with('/') || sub.split('/').any(|part| part == ".."))
    {
        refuse(
            &at.key("subPath"),
            CauseReason::Invalid,
            "must be a relative path without \"..\"",
            judge,
        );
    }
    readable::<VolumeMount>(mount, at, judge);
}

fn sources(volume: &Value, at: &At<'_>, judge: &mut Judge<'_>) {
    let sources: Vec<&str> = volume
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, source)| *key != "name" && !source.is_null())
        .map(|(key, _)| key.as_str())
        .collect();
    if sources.len() > 1 {
        let message = format!(
            "a volume has one source, not {}; keep one",
            sources.join(" and ")
        );
        refuse(at, CauseReason::Invalid, message, judge);
    }
    readable::<Volume>(volume, at, judge);
}

fn same_name(inner: &Value, name: Option<&str>, at: &At<'_>, judge: &mut Judge<'_>) {
    let (Some(name), Some(inner)) = (name, inner.get("name").filter(|name| !name.is_null())) else {
        return;
    };
    if inner.as_str() != Some(name) {
        let message = format!(
            "{} is not the name of this volume, {name}; leave it out",
            json::shown(inner)
        );
        refuse(&at.key("name"), CauseReason::Invalid, message, judge);
    }
}

fn twice(at: &At<'_>, what: &str, judge: &mut Judge<'_>) {
    let message = format!("another {what} has this name; give each its own");
    refuse(at, CauseReason::Invalid, message, judge);
}
