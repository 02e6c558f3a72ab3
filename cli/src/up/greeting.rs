//! What `sluice up` says: progress on stderr, the way in on stdout, and the ready file.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sluice_cluster::{Binary, Cluster, NODE_NAME};

use super::install::TEAM;
use crate::exit::Failure;

/// A session cluster of 2 CPU in as few words as possible.
const SHORT: &str = "\
apiVersion: sluice.dev/v1alpha1
kind: SessionCluster
metadata:
  name: analytics
spec:
  state: RUNNING
  flinkVersion: \"1.20\"
";

/// One that asks for more than the quota has.
const TOO_LARGE: &str = "\
apiVersion: sluice.dev/v1alpha1
kind: SessionCluster
metadata:
  name: greedy
spec:
  state: RUNNING
  flinkVersion: \"1.20\"
  numberOfTaskManagers: 30
  resources:
    taskmanager:
      cpu: 4
";

/// Which variables make kubectl ask a proxy.
const PROXIES: [&str; 2] = ["HTTPS_PROXY", "https_proxy"];

/// One line of progress.
pub(super) fn tell(line: &str) {
    // Nothing is left to do if stderr is closed.
    let _ = writeln!(io::stderr().lock(), "sluice up: {line}");
}

/// Tells how long the steps of the start took.
pub(super) fn steps(cluster: &Cluster) {
    for (step, after) in cluster.steps() {
        tell(&format!("{step} after {:.1} s", after.as_secs_f64()));
    }
}

/// Writes where metrics are to a file beside the kubeconfig that a Prometheus can be pointed at (`file_sd_configs`).
pub(super) fn metrics(cluster: &Cluster, targets: &serde_json::Value) -> anyhow::Result<()> {
    let path = cluster.data_dir().join("prometheus-targets.json");
    write_whole(&path, &serde_json::to_vec_pretty(targets)?)?;
    Ok(())
}

/// Prints the way in and three commands to try.
pub(super) fn print(cluster: &Cluster) -> io::Result<()> {
    let examples = cluster.data_dir().join("examples");
    fs::create_dir_all(&examples)?;
    let short = examples.join("short.yaml");
    let too_large = examples.join("too-large.yaml");
    fs::write(&short, SHORT)?;
    fs::write(&too_large, TOO_LARGE)?;
    let kubectl = kubectl(cluster);
    if let Some(node) = cluster.node() {
        tell(&format!(
            "node {NODE_NAME} runs pods in {pods}, Services are in {services}; both are reached from this machine, and pods \
             reach what listens on {host}. {ctr} shows its containers",
            pods = node.network().pods(),
            services = node.network().services(),
            host = node.host_address(),
            ctr = format_args!(
                "nsenter -t {} -m -n {} -n k8s.io containers ls",
                node.namespaces_pid(),
                quoted(&cluster.assets().path(Binary::Ctr))
            ),
        ));
        if PROXIES.iter().any(|name| std::env::var_os(name).is_some()) {
            tell(&format!(
                "kubectl must not use your proxy for it: export NO_PROXY={}",
                node.network().block()
            ));
        }
    }

    let mut out = io::stdout().lock();
    let written = writeln!(
        out,
        "export KUBECONFIG={kubeconfig}\n\n{kubectl} -n {TEAM} apply -f {short}      # seven lines\n{kubectl} -n {TEAM} \
         get sessioncluster analytics -o yaml      # come back complete\n{kubectl} -n {TEAM} apply -f {too_large}      # \
         and this is over the quota",
        kubeconfig = quoted(&cluster.kubeconfig()),
        short = quoted(&short),
        too_large = quoted(&too_large),
    );
    match written.and_then(|()| out.flush()) {
        // Whoever read our output has what they wanted.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// `kubectl` where the shell finds one, else the path of ours.
fn kubectl(cluster: &Cluster) -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|dir| dir.join("kubectl").is_file());
    if found {
        "kubectl".to_owned()
    } else {
        quoted(&cluster.kubectl())
    }
}

/// As a shell reads it back.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// The file that says that everything is ready. Removed when it is dropped, since then it no longer is.
#[derive(Debug)]
pub(super) struct ReadyFile(PathBuf);

impl ReadyFile {
    /// Removes what an earlier run left behind, so that nobody takes that for ready. Made absolute, should we ever
    /// change our folder.
    pub(super) fn claim(path: impl AsRef<Path>) -> Result<Self, Failure> {
        let path = path.as_ref();
        let fault = |error| Failure::Input(format!("--ready-file {}: {error}", path.display()));
        let absolute = std::path::absolute(path).map_err(fault)?;
        match fs::remove_file(&absolute) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fault(error)),
            _ => {}
        }
        // Better now than after everything has been started.
        if !absolute.parent().is_some_and(Path::is_dir) {
            return Err(Failure::Input(format!(
                "--ready-file {}: its folder does not exist; create it first",
                path.display()
            )));
        }
        Ok(Self(absolute))
    }

    /// Writes the kubeconfig's path.
    pub(super) fn write(&self, kubeconfig: &Path) -> Result<(), Failure> {
        write_whole(&self.0, kubeconfig.to_string_lossy().as_bytes())
    }
}

impl Drop for ReadyFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Writes a file so that whoever reads it finds all of it or nothing.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let write = || -> io::Result<()> {
        let dir = path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.write_all(bytes)?;
        file.persist(path)?;
        Ok(())
    };
    write().map_err(|error| Failure::Input(format!("writing {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_only_where_a_shell_needs_it() {
        assert_eq!(
            quoted(Path::new("/tmp/sluice-a1/kubeconfig")),
            "/tmp/sluice-a1/kubeconfig"
        );
        assert_eq!(
            quoted(Path::new("/tmp/it's here/k")),
            r"'/tmp/it'\''s here/k'"
        );
    }

    #[test]
    fn the_ready_file_is_there_only_while_ready() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ready");
        fs::write(&path, "of an earlier run").unwrap();
        let claimed = ReadyFile::claim(&path).unwrap();
        assert!(!path.exists(), "an earlier run's file passes for ready");
        claimed.write(Path::new("/k")).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "/k");
        drop(claimed);
        assert!(!path.exists(), "it outlived what it stands for");
    }

    #[test]
    fn a_ready_file_in_no_folder_is_refused_before_anything_starts() {
        let error = ReadyFile::claim("/no/such/folder/ready").unwrap_err();
        assert!(matches!(error, Failure::Input(_)));
        assert_eq!(
            error.to_string(),
            "--ready-file /no/such/folder/ready: its folder does not exist; create it first"
        );
    }
}
