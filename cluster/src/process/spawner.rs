//! The one thread that makes all children, and `setpriv`. Why it must be one: see the parent module.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, mpsc};

struct Order {
    command: Command,
    reply: mpsc::Sender<io::Result<Child>>,
}

static SPAWNER: LazyLock<mpsc::Sender<Order>> = LazyLock::new(|| {
    let (sender, orders) = mpsc::channel::<Order>();
    // The sender is static, so the loop ends with the program.
    std::thread::spawn(move || {
        for Order { mut command, reply } in orders {
            let _ = reply.send(command.spawn());
        }
    });
    sender
});

/// Spawns on the spawner's thread and waits for it, about a millisecond. Blocking on purpose: a future could be dropped
/// between the fork and the moment when somebody is responsible for the child.
pub(super) fn spawn(command: Command) -> io::Result<Child> {
    let ended = || io::Error::other("the spawner's thread has ended");
    let (reply, child) = mpsc::channel();
    SPAWNER
        .send(Order { command, reply })
        .map_err(|_| ended())?;
    child.recv().map_err(|_| ended())?
}

/// A `setpriv` that knows `--pdeathsig` (that of busybox does not), looked for once.
pub(super) fn setpriv() -> Option<&'static Path> {
    static SETPRIV: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
        let path = PathBuf::from("/usr/bin/setpriv");
        let works = Command::new(&path)
            .args(["--pdeathsig", "KILL", "--", "true"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        works.then_some(path)
    });
    SETPRIV.as_deref()
}
