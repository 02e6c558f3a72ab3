//! The shared libraries that programs load, as the machine's own loader finds them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use super::host::in_path;
use super::layer::{Layer, Owner, Source};
use super::step::Step;
use crate::ClusterError;

const LDD_LIMIT: Duration = Duration::from_mins(1);

/// Adds every library that `programs` (and libraries) load to the layer, where the loader looks for it. What lies below
/// `own` comes along with the program itself.
///
/// Libraries that this machine lacks are left out: a Java runtime has a few which only a screen or a sound card needs.
pub(super) async fn add(
    layer: &mut Layer,
    step: &mut Step,
    programs: &[PathBuf],
    own: Option<&Path>,
) -> Result<(), ClusterError> {
    let Some(ldd) = in_path("ldd") else {
        return Err(ClusterError::ToolMissing {
            what: step.what().to_owned(),
            tool: "ldd",
            package: "libc-bin",
            hint: String::new(),
        });
    };
    let mut found = BTreeSet::new();
    for program in programs {
        let mut command = Command::new(&ldd);
        command.arg(program).env("LC_ALL", "C");
        match step.quietly(command, LDD_LIMIT).await {
            Ok(output) => found.extend(loaded(&output)),
            // A static program: ldd says so and fails.
            Err(ClusterError::BuildFailed { tail, .. }) if tail.contains("not a dynamic") => {}
            Err(error) => return Err(error),
        }
    }
    for library in found {
        if own.is_none_or(|own| !library.starts_with(own)) {
            let target = merged(&library);
            layer.file(&target, Source::Path(library), 0o755, Owner::ROOT);
        }
    }
    Ok(())
}

/// The absolute paths in ldd's output: `libz.so.1 => /lib/libz.so.1 (0x...)` and `/lib64/ld-linux-x86-64.so.2 (0x...)`.
fn loaded(output: &str) -> Vec<PathBuf> {
    output
        .lines()
        .filter_map(|line| {
            let path = line
                .rsplit_once("=> ")
                .map_or(line, |(_, path)| path)
                .trim();
            let (path, _) = path.rsplit_once(" (")?;
            path.starts_with('/').then(|| PathBuf::from(path))
        })
        .collect()
}

/// Where a path of this machine lies in an image, in which `/lib`, `/lib64`, `/bin` and `/sbin` are links into `/usr`.
fn merged(path: &Path) -> String {
    let path = path.to_string_lossy();
    let in_usr = ["/lib/", "/lib64/", "/lib32/", "/bin/", "/sbin/"]
        .iter()
        .any(|prefix| path.starts_with(prefix));
    if in_usr {
        format!("/usr{path}")
    } else {
        path.into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ldds_output_is_read() {
        let output = "\tlinux-vdso.so.1 (0x00007ffc)\n\
                      \tlibtinfo.so.6 => /lib/x86_64-linux-gnu/libtinfo.so.6 (0x00007f9b)\n\
                      \tlibX11.so.6 => not found\n\
                      \t/lib64/ld-linux-x86-64.so.2 (0x00007f9b)\n\
                      \tstatically linked\n";
        assert_eq!(
            loaded(output),
            [
                PathBuf::from("/lib/x86_64-linux-gnu/libtinfo.so.6"),
                PathBuf::from("/lib64/ld-linux-x86-64.so.2")
            ]
        );
    }

    #[test]
    fn everything_lies_in_usr() {
        let merged = |path: &str| merged(Path::new(path));
        assert_eq!(
            merged("/lib/x86_64-linux-gnu/libc.so.6"),
            "/usr/lib/x86_64-linux-gnu/libc.so.6"
        );
        assert_eq!(merged("/usr/lib/libz.so.1"), "/usr/lib/libz.so.1");
        assert_eq!(merged("/opt/x/libx.so"), "/opt/x/libx.so");
    }

    #[tokio::test]
    async fn a_real_program_brings_its_loader() {
        let mut layer = Layer::new();
        let mut step = Step::begin("a test", "looking for libraries");
        let bash = in_path("bash").unwrap();
        add(&mut layer, &mut step, &[bash], None).await.unwrap();
        let names: Vec<&str> = layer.entries().map(|(path, _)| path).collect();
        assert!(
            names.iter().any(|name| name.contains("/ld-"))
                && names.iter().any(|name| name.ends_with("libc.so.6")),
            "{names:?}"
        );
    }
}
