//! The bare bones of a root file system: the folders and the few files that the C library reads.

use super::layer::{Layer, Owner};

/// A user of the image besides root; the group has the same name and number.
#[derive(Debug, Clone, Copy)]
pub(super) struct User {
    pub name: &'static str,
    pub id: u32,
    pub home: &'static str,
    pub shell: &'static str,
}

/// A layer with `/usr` and the links into it, `/etc` with users and name lookup, `/tmp`, and places to mount on.
pub(super) fn skeleton(user: User) -> Layer {
    let User {
        name,
        id,
        home,
        shell,
    } = user;
    let root = Owner::ROOT;
    let mut layer = Layer::new();
    for dir in ["bin", "lib", "lib64", "sbin"] {
        layer
            .dir(&format!("usr/{dir}"), 0o755, root)
            .symlink(dir, &format!("usr/{dir}"));
    }
    for dir in ["dev", "proc", "sys", "run", "var", "usr/local/bin"] {
        layer.dir(dir, 0o755, root);
    }
    let passwd =
        format!("root:x:0:0:root:/root:/bin/sh\n{name}:x:{id}:{id}:{name}:{home}:{shell}\n");
    let group = format!("root:x:0:\n{name}:x:{id}:\n");
    layer
        .dir("root", 0o700, root)
        .dir("tmp", 0o1777, root)
        .dir("var/tmp", 0o1777, root)
        .file("etc/passwd", passwd.as_str(), 0o644, root)
        .file("etc/group", group.as_str(), 0o644, root)
        // Without it the C library asks DNS before /etc/hosts, where a pod's own name stands.
        .file(
            "etc/nsswitch.conf",
            "passwd: files\ngroup: files\nhosts: files dns\n",
            0o644,
            root,
        );
    layer
}
