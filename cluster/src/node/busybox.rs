//! The image of the pods' sandboxes, which is also a small system for tries: a busybox with links for its commands.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use ring::digest::{SHA256, digest};
use serde_json::json;
use tar::{Builder, EntryType, Header};

use super::requirements::HostTools;
use crate::ClusterError;

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

/// Writes the archive, in the layout of `docker save`: one layer needs no more.
pub(super) fn archive(tools: &HostTools, path: &Path) -> Result<(), ClusterError> {
    let busybox = fs::read(&tools.busybox).map_err(ClusterError::io("reading", &tools.busybox))?;
    let write = || -> io::Result<()> {
        let layer = layer(&busybox)?;
        let digest = hex(digest(&SHA256, &layer).as_ref());
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let config = json!({
            "architecture": architecture,
            "os": "linux",
            "config": {"Env": ["PATH=/bin"], "Cmd": SLEEP},
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
            "history": [{}],
        });
        let manifest =
            json!([{"Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]);
        let mut archive = Builder::new(File::create(path)?);
        for (name, bytes) in [
            ("layer.tar", layer.as_slice()),
            ("config.json", config.to_string().as_bytes()),
            ("manifest.json", manifest.to_string().as_bytes()),
        ] {
            let mut header = header(EntryType::Regular, 0o644);
            header.set_size(bytes.len() as u64);
            archive.append_data(&mut header, name, bytes)?;
        }
        archive.into_inner()?.sync_all()
    };
    write().map_err(ClusterError::io("writing", path))
}

fn layer(busybox: &[u8]) -> io::Result<Vec<u8>> {
    let mut layer = Builder::new(Vec::new());
    for (name, mode) in [("bin/", 0o755), ("etc/", 0o755), ("tmp/", 0o1777)] {
        layer.append_data(&mut header(EntryType::Directory, mode), name, io::empty())?;
    }
    let files: [(&str, u32, &[u8]); 4] = [
        ("bin/busybox", 0o755, busybox),
        ("etc/passwd", 0o644, b"root:x:0:0:root:/:/bin/sh\n"),
        ("etc/group", 0o644, b"root:x:0:\n"),
        // The kubelet's /etc/hosts first, as everywhere.
        ("etc/nsswitch.conf", 0o644, b"hosts: files dns\n"),
    ];
    for (name, mode, bytes) in files {
        let mut header = header(EntryType::Regular, mode);
        header.set_size(bytes.len() as u64);
        layer.append_data(&mut header, name, bytes)?;
    }
    for name in LINKS {
        let mut header = header(EntryType::Symlink, 0o777);
        layer.append_link(&mut header, format!("bin/{name}"), "busybox")?;
    }
    layer.into_inner()
}

/// Everything belongs to root and has no time, so that the same busybox gives the same image.
fn header(kind: EntryType, mode: u32) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(0);
    header.set_mtime(0);
    header
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
