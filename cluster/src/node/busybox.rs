//! The image of the pods' sandboxes, which is also a small system for tries: a busybox with links for its commands.

use std::path::Path;

use super::requirements::HostTools;
use crate::ClusterError;
use crate::image::{Layer, Owner, Settings, Source, Written, write};

/// Its name. `localhost` is no registry, so nobody tries to pull it.
pub const IMAGE: &str = "localhost/sluice-busybox:1";
/// What a pod's sandbox runs. The kubelet ends it with SIGKILL.
const SLEEP: [&str; 3] = ["/bin/busybox", "sleep", "2147483647"];
/// Commands that a script in such a pod may want.
const LINKS: [&str; 27] = [
    "sh", "cat", "ls", "cp", "mv", "rm", "mkdir", "chmod", "chown", "echo", "env", "sleep", "true",
    "false", "test", "id", "ps", "kill", "grep", "sed", "wget", "httpd", "nslookup", "nc", "tar",
    "mount", "timeout",
];

/// Writes the archive.
pub(super) fn archive(tools: &HostTools, path: &Path) -> Result<(), ClusterError> {
    let mut layer = Layer::new();
    let busybox = Source::Path(tools.busybox.clone());
    layer
        .file("bin/busybox", busybox, 0o755, Owner::ROOT)
        .file(
            "etc/passwd",
            "root:x:0:0:root:/:/bin/sh\n",
            0o644,
            Owner::ROOT,
        )
        .file("etc/group", "root:x:0:\n", 0o644, Owner::ROOT)
        // The kubelet's /etc/hosts first, as everywhere.
        .file(
            "etc/nsswitch.conf",
            "hosts: files dns\n",
            0o644,
            Owner::ROOT,
        )
        .dir("tmp", 0o1777, Owner::ROOT);
    for name in LINKS {
        layer.symlink(&format!("bin/{name}"), "busybox");
    }
    let settings = Settings {
        names: vec![IMAGE.to_owned()],
        env: vec!["PATH=/bin".to_owned()],
        command: SLEEP.map(str::to_owned).to_vec(),
        ..Settings::default()
    };
    write(path, &[layer], &settings, &Written::default()).map(drop)
}
