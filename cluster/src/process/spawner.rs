//! The one thread that makes all children, and `setpriv`. Why it must be one: see the parent module.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, mpsc};

use tokio::sync::oneshot;

struct Order {
    command: Command,
    reply: oneshot::Sender<io::Result<Child>>,
}

static SPAWNER: LazyLock<mpsc::Sender<Order>> = LazyLock::new(|| {
    let (sender, orders) = mpsc::channel::<Order>();
    // The sender is static, so the loop ends with the program.
    std::thread::spawn(move || {
        for Order { mut command, reply } in orders {
            if let Err(Ok(mut orphan)) = reply.send(command.spawn()) {
                // Whoever asked has gone away meanwhile: nobody would ever stop the child.
                let _ = orphan.kill();
                let _ = orphan.wait();
            }
        }
    });
    sender
});

/// Spawns on the spawner's thread.
pub(super) async fn spawn(command: Command) -> io::Result<Child> {
    let (reply, child) = oneshot::channel();
    SPAWNER
        .send(Order { command, reply })
        .map_err(|_| io::Error::other("the spawner's thread has ended"))?;
    child
        .await
        .map_err(|_| io::Error::other("the spawner's thread has ended"))?
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
