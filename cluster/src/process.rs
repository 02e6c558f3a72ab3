//! One child process: its own process group, a log file, a watched exit, and an end that does not depend on ours.
//! What the children are does not live here.
//!
//! **Nothing outlives us.** Three nets, one behind the other:
//! 1. [`Process::stop`]: SIGTERM to the group, a deadline, SIGKILL;
//! 2. `Drop` does the same without a runtime, so a panic in a test ends the children too;
//! 3. if we are killed with SIGKILL, the kernel sends the child its parent-death signal. Setting it needs a system call
//!    between fork and exec, which safe Rust does not offer, so the child is started through `setpriv --pdeathsig` of
//!    util-linux (part of every Debian). Where that is missing, only the first two nets hold.
//!
//! The kernel ties the parent-death signal to the *thread* that forked. All children are therefore made by one thread
//! that lives as long as the program ([`spawner`]): a test's thread, or a worker of a runtime, ends sooner.

mod spawner;

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use tokio::sync::watch;

use crate::ClusterError;

/// How much of a log's end is looked at for its last lines.
const TAIL_BYTES: u64 = 16 * 1024;
/// Lines of a log that an error shows.
const TAIL_LINES: usize = 15;
/// How long `Drop` waits after SIGTERM before it sends SIGKILL.
const DROP_GRACE: Duration = Duration::from_secs(5);

/// Which signal the kernel sends the child when we die without having stopped it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnParentDeath {
    /// SIGKILL: certain. For leaves such as etcd, which recovers from it.
    #[default]
    Kill,
    /// SIGTERM: for a child with children of its own that it should stop in order, such as `sluice up`.
    Terminate,
}

/// What to run.
#[derive(Debug, Clone)]
pub struct ProcessSpec {
    /// For messages, such as `kube-apiserver`.
    pub name: String,
    /// The program's path.
    pub program: PathBuf,
    /// Its arguments, without the program's name.
    pub args: Vec<OsString>,
    /// Variables added to (or replacing) those of our own environment.
    pub env: Vec<(OsString, OsString)>,
    /// File to which stdout and stderr are appended. Its folder must exist.
    pub log: PathBuf,
    /// What happens to it if we are killed.
    pub on_parent_death: OnParentDeath,
}

impl ProcessSpec {
    /// A program without arguments that is killed when we are.
    pub fn new(
        name: impl Into<String>,
        program: impl Into<PathBuf>,
        log: impl Into<PathBuf>,
    ) -> Self {
        Self {
            name: name.into(),
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            log: log.into(),
            on_parent_death: OnParentDeath::default(),
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item = S>, S: Into<OsString>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Says what happens to it if we are killed.
    #[must_use]
    pub fn on_parent_death(mut self, what: OnParentDeath) -> Self {
        self.on_parent_death = what;
        self
    }

    /// The command, through `setpriv` where that can set the parent-death signal.
    fn command(&self, log: fs::File) -> io::Result<Command> {
        let mut command = match spawner::setpriv() {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.arg("--pdeathsig").arg(match self.on_parent_death {
                    OnParentDeath::Kill => "KILL",
                    OnParentDeath::Terminate => "TERM",
                });
                command.arg("--").arg(&self.program);
                command
            }
            None => Command::new(&self.program),
        };
        command
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C in a terminal goes to the whole foreground group: the child must not see it before we decide.
            .process_group(0);
        Ok(command)
    }
}

/// A running (or ended) child process. Dropping it ends it.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    pid: Pid,
    shared: Arc<Shared>,
    exit: watch::Receiver<Option<ExitStatus>>,
}

#[derive(Debug)]
struct Shared {
    /// `None` while it runs. Signals are sent only under this lock and only while it is `None`; since the child is
    /// reaped under the lock too, no signal can reach a stranger who was given the same pid.
    exit: Mutex<Option<ExitStatus>>,
    ended: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Option<ExitStatus>> {
        self.exit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Process {
    /// Starts it.
    ///
    /// # Errors
    /// [`ClusterError::Io`] if the log cannot be opened or the program cannot be run.
    pub fn spawn(spec: ProcessSpec) -> Result<Self, ClusterError> {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&spec.log)
            .map_err(ClusterError::io("opening", &spec.log))?;
        // Asked before the fork: through setpriv a missing program would only show as an exit code.
        fs::metadata(&spec.program).map_err(ClusterError::io("running", &spec.program))?;
        let command = spec
            .command(log)
            .map_err(ClusterError::io("opening", &spec.log))?;
        let child = spawner::spawn(command).map_err(ClusterError::io("running", &spec.program))?;
        Ok(Self::watch(spec, child))
    }

    fn watch(spec: ProcessSpec, child: Child) -> Self {
        let pid = Pid::from_raw(child.id().cast_signed());
        let shared = Arc::new(Shared {
            exit: Mutex::new(None),
            ended: Condvar::new(),
        });
        let (sender, exit) = watch::channel(None);
        let reaper = Arc::clone(&shared);
        std::thread::spawn(move || reap(child, pid, &reaper, &sender));
        Self {
            name: spec.name,
            log: spec.log,
            pid,
            shared,
            exit,
        }
    }

    /// Its name in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id, which is its process group's id too. Meaningless once it has ended.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw().cast_unsigned()
    }

    /// Its log file.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// How it ended, or `None` while it runs.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        *self.shared.lock()
    }

    /// Waits until it has ended. Any number may wait, from any runtime.
    pub async fn exited(&self) -> ExitStatus {
        let mut exit = self.exit.clone();
        loop {
            let status = *exit.borrow_and_update();
            if let Some(status) = status {
                return status;
            }
            if exit.changed().await.is_err() {
                // The reaper sends before it ends, so this is its last word.
                if let Some(status) = self.exit_status() {
                    return status;
                }
                std::future::pending::<()>().await;
            }
        }
    }

    /// Sends SIGKILL to the whole group; [`Process::exited`] says when it is gone. Nothing happens if it has ended.
    pub fn kill(&self) {
        self.signal(Signal::SIGKILL);
    }

    /// Sends SIGTERM to the whole group. Nothing happens if it has ended.
    pub fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Stops the whole group where it stands (SIGSTOP): for tests of what hangs instead of failing.
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets a frozen group go on (SIGCONT).
    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        let exit = self.shared.lock();
        if exit.is_none() {
            // It can only be gone already (ESRCH): not reaped yet, so nobody else has its id.
            let _ = killpg(self.pid, signal);
        }
    }

    /// SIGTERM, then SIGKILL after `grace`; returns how it ended, which is also its answer if it had ended before.
    pub async fn stop(&self, grace: Duration) -> ExitStatus {
        self.terminate();
        if let Ok(status) = tokio::time::timeout(grace, self.exited()).await {
            return status;
        }
        self.kill();
        self.exited().await
    }

    /// [`Process::stop`] for `Drop`, where nothing can be awaited.
    pub(crate) fn stop_blocking(&self, grace: Duration) {
        self.terminate();
        let exit = self.shared.lock();
        let (exit, _) = self
            .shared
            .ended
            .wait_timeout_while(exit, grace, |exit| exit.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        if exit.is_some() {
            return;
        }
        drop(exit);
        self.kill();
        let exit = self.shared.lock();
        // SIGKILL cannot be refused, but a process in uninterruptible sleep may take its time: do not hang on it.
        drop(
            self.shared
                .ended
                .wait_timeout_while(exit, DROP_GRACE, |exit| exit.is_none()),
        );
    }

    /// The last lines of its log, for messages.
    pub fn log_tail(&self) -> String {
        log_tail(&self.log)
    }

    /// The error which says that it ended although nobody asked it to.
    pub fn died(&self, status: ExitStatus) -> ClusterError {
        ClusterError::Died {
            name: self.name.clone(),
            status: status.to_string(),
            log: self.log.clone(),
            tail: self.log_tail(),
        }
    }

    /// The error which says that it was not ready in time.
    pub fn not_ready(&self, after: Duration, last: impl Into<String>) -> ClusterError {
        ClusterError::NotReady {
            name: self.name.clone(),
            after,
            last: last.into(),
            log: self.log.clone(),
            tail: self.log_tail(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop_blocking(DROP_GRACE);
    }
}

/// Waits for the child without reaping it, ends what is left of its group, then reaps and publishes under the lock.
fn reap(mut child: Child, pid: Pid, shared: &Shared, sender: &watch::Sender<Option<ExitStatus>>) {
    while waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT)
        == Err(nix::errno::Errno::EINTR)
    {}
    let mut exit = shared.lock();
    // The zombie still holds the id, so the group is ours: grandchildren which outlived their parent go with it.
    let _ = killpg(pid, Signal::SIGKILL);
    let status = child.wait().unwrap_or_default();
    *exit = Some(status);
    drop(exit);
    shared.ended.notify_all();
    let _ = sender.send(Some(status));
}

/// The last lines of a log, for messages; why it cannot be read, where it cannot.
pub fn log_tail(path: &Path) -> String {
    tail(path).unwrap_or_else(|error| format!("(cannot be read: {error})"))
}

fn tail(path: &Path) -> io::Result<String> {
    let mut file = fs::File::open(path)?;
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let skip = lines.len().saturating_sub(TAIL_LINES);
    Ok(lines.into_iter().skip(skip).collect::<Vec<_>>().join("\n"))
}
