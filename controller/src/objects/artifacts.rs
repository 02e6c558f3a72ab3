//! Jars and plugins: init containers bring them into a volume that Flink's container mounts.
//!
//! What has to be fetched is fetched by Sluice's own image (`sluice fetch --to DIR URI...`); paths in the Flink image are
//! copied by that image itself. The session's jars lie under Flink's `lib`, since a session's class path is that folder and
//! what is below it (`usrlib` is for applications only).

use std::borrow::Cow;

use serde_json::{Value, json};

use super::cluster::FlinkCluster;
use super::words::literal;
use super::{BuildError, BuildSettings};

/// The volume that jars and plugins are brought to. Users may mount it in sidecars.
pub const VOLUME: &str = "sluice-artifacts";
/// Where init containers see it.
const STAGE: &str = "/sluice-artifacts";
/// Where Flink's class path sees the session's jars.
const JARS: &str = "/opt/flink/lib/sluice-jars";
/// Where Flink looks for an application's program, in both roles.
const PROGRAM: &str = "/opt/flink/usrlib";
/// Where Flink looks for plugins.
const PLUGINS: &str = "/opt/flink/plugins";
/// Names of the containers that fetch begin so: they get the environment of Flink's container, for credentials.
pub const FETCH: &str = "sluice-fetch-";

/// What a pod needs for its jars and plugins.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Artifacts {
    /// Volumes of the pod.
    pub volumes: Vec<Value>,
    /// Init containers, without resources and environment.
    pub init_containers: Vec<Value>,
    /// Mounts of Flink's container.
    pub mounts: Vec<Value>,
}

/// What this cluster's pods need.
pub fn of(cluster: &FlinkCluster<'_>, settings: &BuildSettings) -> Result<Artifacts, BuildError> {
    let mut artifacts = Artifacts::default();
    let jars = Folder {
        stage: "jars".to_owned(),
        mount: JARS.to_owned(),
        uris: cluster.jars,
    };
    artifacts.bring(&jars, cluster, settings);
    if let Some(application) = &cluster.application {
        let program = Folder {
            stage: "program".to_owned(),
            mount: PROGRAM.to_owned(),
            uris: application.jar.as_slice(),
        };
        artifacts.bring(&program, cluster, settings);
    }
    for (index, plugin) in cluster.plugins.iter().enumerate() {
        let name = &plugin.name;
        if name.is_empty() || name.starts_with('.') || name.contains(['/', ':']) {
            let shown: String = name.chars().take(60).collect();
            return Err(BuildError::new(
                format!("spec.plugins[{index}].name"),
                format!("\"{shown}\" is no name of a folder"),
            ));
        }
        let folder = Folder {
            stage: format!("plugins/{name}"),
            mount: format!("{PLUGINS}/{name}"),
            uris: plugin.jars.as_deref().unwrap_or_default(),
        };
        artifacts.bring(&folder, cluster, settings);
    }
    if !artifacts.mounts.is_empty() {
        artifacts
            .volumes
            .push(json!({"name": VOLUME, "emptyDir": {}}));
    }
    Ok(artifacts)
}

/// Jars that end up in one folder.
struct Folder<'a> {
    /// Path in the volume.
    stage: String,
    /// Where Flink's container sees it.
    mount: String,
    uris: &'a [String],
}

impl Artifacts {
    fn bring(&mut self, folder: &Folder<'_>, cluster: &FlinkCluster<'_>, settings: &BuildSettings) {
        if folder.uris.is_empty() {
            return;
        }
        let to = format!("{STAGE}/{}", folder.stage);
        let number = self.mounts.len();
        let stage = json!([{"name": VOLUME, "mountPath": STAGE}]);
        let paths: Vec<&str> = folder
            .uris
            .iter()
            .filter_map(|uri| image_path(uri))
            .collect();
        let remote: Vec<&String> = folder
            .uris
            .iter()
            .filter(|uri| image_path(uri).is_none())
            .collect();
        if !remote.is_empty() {
            let mut args: Vec<Cow<'_, str>> =
                vec!["fetch".into(), "--to".into(), to.as_str().into()];
            args.extend(remote.into_iter().map(|uri| literal(uri)));
            self.init_containers.push(json!({
                "name": format!("{FETCH}{number}"),
                "image": settings.sluice_image,
                "args": args,
                "volumeMounts": stage,
            }));
        }
        if !paths.is_empty() {
            // Paths are arguments, never part of the script.
            let script = r#"mkdir -p "$0" && cp -- "$@" "$0""#;
            let mut command: Vec<Cow<'_, str>> =
                vec!["sh".into(), "-c".into(), script.into(), to.as_str().into()];
            command.extend(paths.into_iter().map(literal));
            self.init_containers.push(json!({
                "name": format!("sluice-copy-{number}"),
                "image": cluster.image,
                "command": command,
                "volumeMounts": stage,
            }));
        }
        self.mounts.push(json!({
            "name": VOLUME,
            "mountPath": folder.mount,
            "subPath": folder.stage,
            "readOnly": true,
        }));
    }
}

/// The path in the Flink image that a jar's URI means, if it means one.
fn image_path(uri: &str) -> Option<&str> {
    if uri.starts_with('/') {
        return Some(uri);
    }
    let (scheme, rest) = uri.split_once(':')?;
    let is_path = scheme.eq_ignore_ascii_case("local") || scheme.eq_ignore_ascii_case("file");
    is_path.then(|| rest.strip_prefix("//").unwrap_or(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_in_the_image_are_told_from_what_is_fetched() {
        for (uri, path) in [
            ("/opt/flink/opt/a.jar", Some("/opt/flink/opt/a.jar")),
            ("local:///opt/a.jar", Some("/opt/a.jar")),
            ("FILE:/opt/a.jar", Some("/opt/a.jar")),
            ("https://h/a.jar", None),
            ("s3://b/local:/a.jar", None),
        ] {
            assert_eq!(image_path(uri), path, "{uri}");
        }
    }
}
