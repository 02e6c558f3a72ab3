//! The image `docker.io/library/flink`, of this machine's Java and shell and the Flink that PyPI has. Its entry point
//! keeps the contract of the official image, so that manifests need not know which of the two they get.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::host::{BASH, BUSYBOX, JAVA};
use super::layer::{Layer, Owner, Source};
use super::oci::{Settings, hex, sha256};
use super::skeleton::{User, skeleton};
use super::step::Step;
use super::store::Store;
use super::version::FlinkVersion;
use super::{Image, java, libraries, pypi};
use crate::assets::progress::say;
use crate::{AssetsCache, ClusterError};

/// The user of the official image; volumes are made writable for it.
const FLINK: User = User {
    name: "flink",
    id: 9999,
    home: HOME,
    shell: "/bin/bash",
};
/// FLINK_HOME.
const HOME: &str = "/opt/flink";
/// JAVA_HOME.
const JAVA_HOME: &str = "/opt/java/openjdk";
const ENTRYPOINT: &str = include_str!("docker-entrypoint.sh");
/// Raised when this file puts something else into the image: archives of older recipes are then not used any more.
const RECIPE: u32 = 1;

/// The settings files that the scripts use when a role runs in the foreground, and those for the clients beside it.
const CONF: &[&str] = &[
    "log4j-cli.properties",
    "log4j-console.properties",
    "log4j-session.properties",
    "log4j.properties",
    "logback-console.xml",
    "logback-session.xml",
    "logback.xml",
];

/// The image of a Flink release: from the cache, or built now.
///
/// Building takes under a minute besides the download of 240 MB, and reports its steps on stderr. Only one process builds
/// at a time; others wait.
///
/// # Errors
/// [`ClusterError::ToolMissing`], [`ClusterError::BuildFailed`], [`ClusterError::StepTooLong`],
/// [`ClusterError::Unexpected`], [`ClusterError::NoCacheDir`] or [`ClusterError::Io`].
pub async fn flink(cache: &AssetsCache, version: FlinkVersion) -> Result<Image, ClusterError> {
    let store = Store::open(cache)?;
    let settings = settings(version);
    let names = settings.names.clone();
    let prefix = format!("flink-{version}-");
    let file = format!("{prefix}java{JAVA}-{}.tar", recipe(&settings));
    if let Some(image) = Image::cached(store.path(&file), &names) {
        return Ok(image);
    }
    let _lock = store.lock().await?;
    // Whoever held the lock before us may have built it.
    if let Some(image) = Image::cached(store.path(&file), &names) {
        return Ok(image);
    }
    let began = Instant::now();
    let what = format!("the image of Flink {version}");
    let runtime = java::runtime(&store, &what).await?;
    let distribution = distribution(&store, version, &what).await?;
    let base = base(&what, &runtime).await?;
    let flink = flink_layer(&what, version, &distribution)?;
    let step = Step::begin(&what, "writing the archive");
    let path = store
        .write(step, vec![base, flink], settings, &file)
        .await?;
    store.remove_superseded(&prefix, &path);
    let image = Image::built(path, names)?;
    say(&format!(
        "{what} is built: {}, in {:.0} s",
        image.size(),
        began.elapsed().as_secs_f64()
    ));
    Ok(image)
}

fn settings(version: FlinkVersion) -> Settings {
    Settings {
        names: version
            .tags()
            .iter()
            .map(|tag| format!("docker.io/library/flink:{tag}"))
            .collect(),
        // In digits: the kubelet cannot tell a name from root, which `runAsNonRoot` needs.
        user: FLINK.id.to_string(),
        workdir: HOME.to_owned(),
        env: vec![
            format!(
                "PATH={HOME}/bin:{JAVA_HOME}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
            ),
            format!("FLINK_HOME={HOME}"),
            format!("JAVA_HOME={JAVA_HOME}"),
            // Without it Java takes file names for ASCII.
            "LANG=C.UTF-8".to_owned(),
        ],
        entrypoint: vec!["/docker-entrypoint.sh".to_owned()],
        command: vec!["help".to_owned()],
        labels: vec![(
            "org.opencontainers.image.version".to_owned(),
            version.to_string(),
        )],
    }
}

/// What of our own goes into the image, as part of the archive's name.
fn recipe(settings: &Settings) -> String {
    let all = format!("{RECIPE}\n{ENTRYPOINT}\n{settings:?}");
    hex(&sha256(all.as_bytes())).chars().take(12).collect()
}

/// The folder of an unpacked Flink release, as its own archive has it (`bin`, `conf`, `lib`, `opt`, `plugins`), for running it
/// without an image: from the cache, or fetched now.
///
/// # Errors
/// As [`flink`].
pub async fn flink_distribution(
    cache: &AssetsCache,
    version: FlinkVersion,
) -> Result<PathBuf, ClusterError> {
    let store = Store::open(cache)?;
    let _lock = store.lock().await?;
    distribution(&store, version, &format!("Flink {version}")).await
}

/// The folder of an unpacked Flink, fetched now if the cache lacks it. Whoever calls holds the lock.
pub(super) async fn distribution(
    store: &Store,
    version: FlinkVersion,
    what: &str,
) -> Result<PathBuf, ClusterError> {
    let target = store.path(&format!("flink-{version}"));
    if !target.is_dir() {
        let work = store.work()?;
        pypi::fetch(version, what, work.path(), &target).await?;
    }
    Ok(target)
}

/// The layer below Flink: what its scripts and Java need.
async fn base(what: &str, runtime: &Path) -> Result<Layer, ClusterError> {
    let bash = BASH.get(what).await?;
    let busybox = BUSYBOX.get(what).await?;
    let mut step = Step::begin(what, "gathering Java, bash, busybox and their libraries");
    let root = Owner::ROOT;
    let mut layer = skeleton(FLINK);
    let applets = step
        .quietly(
            {
                let mut list = tokio::process::Command::new(&busybox);
                list.arg("--list");
                list
            },
            std::time::Duration::from_mins(1),
        )
        .await?;
    for applet in applets.lines().filter(|name| !name.is_empty()) {
        layer.symlink(&format!("usr/bin/{applet}"), "busybox");
    }
    layer
        .file(
            "usr/bin/busybox",
            Source::Path(busybox.clone()),
            0o755,
            root,
        )
        .file("usr/bin/bash", Source::Path(bash.clone()), 0o755, root)
        .tree(JAVA_HOME, runtime, root)?;
    let mut programs = java::binaries(runtime)?;
    programs.extend([bash, busybox]);
    libraries::add(&mut layer, &mut step, &programs, Some(runtime)).await?;
    Ok(layer)
}

fn flink_layer(
    what: &str,
    version: FlinkVersion,
    distribution: &Path,
) -> Result<Layer, ClusterError> {
    let owner = Owner(FLINK.id);
    let mut layer = Layer::new();
    layer.dir(HOME, 0o755, owner);
    for folder in ["lib", "opt", "plugins", "licenses", "bin"] {
        layer.tree(
            &format!("{HOME}/{folder}"),
            &distribution.join(folder),
            owner,
        )?;
    }
    for name in ["LICENSE", "NOTICE"] {
        let path = distribution.join(name);
        if path.is_file() {
            layer.file(&format!("{HOME}/{name}"), Source::Path(path), 0o644, owner);
        }
    }
    // A wheel keeps no permissions.
    let bin = distribution.join("bin");
    for entry in fs::read_dir(&bin)
        .map_err(ClusterError::io("reading", &bin))?
        .flatten()
    {
        let path = entry.path();
        let content = fs::read(&path).map_err(ClusterError::io("reading", &path))?;
        if content.starts_with(b"#!") {
            let target = format!("{HOME}/bin/{}", entry.file_name().to_string_lossy());
            layer.file(&target, Source::Path(path), 0o755, owner);
        }
    }
    let conf = distribution.join("conf");
    for name in CONF {
        let path = conf.join(name);
        if path.is_file() {
            layer.file(
                &format!("{HOME}/conf/{name}"),
                Source::Path(path),
                0o644,
                owner,
            );
        }
    }
    let config = config(what, &conf.join(version.config_file()))?;
    layer
        .dir(&format!("{HOME}/conf"), 0o755, owner)
        .file(
            &format!("{HOME}/conf/{}", version.config_file()),
            config.as_str(),
            0o644,
            owner,
        )
        .dir(&format!("{HOME}/log"), 0o755, owner)
        .dir(&format!("{HOME}/usrlib"), 0o755, owner)
        .file("docker-entrypoint.sh", ENTRYPOINT, 0o755, Owner::ROOT);
    Ok(layer)
}

/// The settings of the image: those that Flink's own file has for Java 17, and all addresses open, since a container's
/// network is its own. Flat keys, so that the entry point can replace one with nothing but sed.
fn config(what: &str, original: &Path) -> Result<String, ClusterError> {
    let text = fs::read_to_string(original).map_err(ClusterError::io("reading", original))?;
    // Nested as `opts:` / `all: ...` or flat as `env.java.opts.all: ...`, always on one line.
    let options = text
        .lines()
        .filter_map(|line| line.split_once(": "))
        .filter(|(key, _)| matches!(key.trim(), "all" | "env.java.opts.all"))
        .map(|(_, value)| value.trim())
        .find(|value| value.starts_with("--add-"))
        .ok_or_else(|| ClusterError::Unexpected {
            what: what.to_owned(),
            path: original.to_path_buf(),
            problem: format!(
                "it does not say how Java {JAVA} is to be started (env.java.opts.all)"
            ),
        })?;
    Ok(format!(
        "# Settings of this image. Mount a folder over /opt/flink/conf, or set FLINK_PROPERTIES.\n\
         env.java.opts.all: {options}\n\
         blob.server.port: 6124\n\
         query.server.port: 6125\n\
         jobmanager.bind-host: 0.0.0.0\n\
         jobmanager.memory.process.size: 1600m\n\
         taskmanager.bind-host: 0.0.0.0\n\
         taskmanager.memory.process.size: 1728m\n\
         rest.bind-address: 0.0.0.0\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config_of(text: &str) -> Result<String, ClusterError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.yaml");
        fs::write(&path, text).unwrap();
        config("the image of Flink 1.20.5", &path)
    }

    #[test]
    fn the_options_for_java_are_found_nested_and_flat() {
        let nested = "env:\n  java:\n    opts:\n      all: --add-exports=a=b --add-opens=c=d\nrest:\n  all: no\n";
        let flat = "# x\nenv.java.opts.all: --add-exports=a=b --add-opens=c=d\n";
        for text in [nested, flat] {
            let config = config_of(text).unwrap();
            assert!(
                config.contains("\nenv.java.opts.all: --add-exports=a=b --add-opens=c=d\n"),
                "{config}"
            );
            assert!(
                config.lines().all(|line| !line.starts_with(' ')),
                "nested keys would escape the entry point: {config}"
            );
        }
    }

    #[test]
    fn a_settings_file_without_them_is_reported() {
        let error = config_of("rest:\n  port: 8081\n").unwrap_err().to_string();
        assert!(
            error.contains("config.yaml") && error.contains("env.java.opts.all"),
            "{error}"
        );
    }

    #[test]
    fn the_archives_name_follows_what_is_in_it() {
        let recipe = |version: &str| recipe(&settings(version.parse().unwrap()));
        assert_eq!(recipe("1.20").len(), 12);
        assert_eq!(recipe("1.20"), recipe("1.20.5"));
        assert_ne!(recipe("1.20"), recipe("1.20.1"));
    }
}
