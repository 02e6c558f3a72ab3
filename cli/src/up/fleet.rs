//! The webhook and controller processes: started, started again when they end by themselves, stopped.
//! What they are started with is in [`super::servers`].

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sluice_cluster::{Cluster, Component, Process, ProcessSpec};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::greeting;
use crate::exit::Failure;

/// From SIGTERM to SIGKILL. Nobody but ourselves waits for the webhooks' last answers here.
const GRACE: Duration = Duration::from_secs(3);
/// First and longest wait before a process is started again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Whoever ran this long is started again at once.
const LONG: Duration = Duration::from_secs(20);

/// What happens when a process ends by itself, in Kubernetes' words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Restart {
    /// It is started again, as a Deployment would.
    Always,
    /// It stays away: to see what users see then.
    Never,
}

/// The processes.
pub(super) struct Fleet {
    keepers: JoinSet<()>,
    stop: CancellationToken,
    logs: Vec<PathBuf>,
}

impl Fleet {
    /// Starts them, each with a keeper of its own.
    pub(super) fn start(cluster: &Cluster, specs: Vec<ProcessSpec>, restart: Restart) -> Self {
        let stop = CancellationToken::new();
        let roster = Arc::new(Roster::new(cluster));
        let logs = specs.iter().map(|spec| spec.log.clone()).collect();
        let mut keepers = JoinSet::new();
        for spec in specs {
            keepers.spawn(keep(spec, restart, Arc::clone(&roster), stop.clone()));
        }
        Self {
            keepers,
            stop,
            logs,
        }
    }

    /// Stops them all, at the same time.
    pub(super) async fn stop(mut self) {
        self.stop.cancel();
        while self.keepers.join_next().await.is_some() {}
    }

    /// Adds the servers' last words to a failure.
    pub(super) fn explain(&self, failure: &Failure) -> Failure {
        let words: Vec<String> = self
            .logs
            .iter()
            .map(|log| {
                format!(
                    "the last lines of {}:\n{}",
                    log.display(),
                    sluice_cluster::log_tail(log)
                )
            })
            .collect();
        Failure::Unreachable(anyhow::anyhow!("{failure}\n{}", words.join("\n")))
    }
}

/// Keeps one process until told to stop.
async fn keep(spec: ProcessSpec, restart: Restart, roster: Arc<Roster>, stop: CancellationToken) {
    let mut pause = PAUSE.0;
    loop {
        let began = Instant::now();
        match Process::spawn(spec.clone()) {
            Ok(process) => {
                roster.enter(&spec.name, Some(process.pid()));
                let status = tokio::select! {
                    () = stop.cancelled() => {
                        process.stop(GRACE).await;
                        return;
                    }
                    status = process.exited() => status,
                };
                roster.enter(&spec.name, None);
                greeting::tell(&format!(
                    "{} ended by itself ({status}); see {}",
                    spec.name,
                    spec.log.display()
                ));
            }
            Err(error) => greeting::tell(&error.to_string()),
        }
        if restart == Restart::Never {
            return;
        }
        if began.elapsed() > LONG {
            pause = PAUSE.0;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(PAUSE.1);
    }
}

/// Who runs under which process id, in `processes.json` of the data folder: for tests that kill, and for people.
struct Roster {
    path: PathBuf,
    entries: Mutex<BTreeMap<String, u32>>,
}

impl Roster {
    fn new(cluster: &Cluster) -> Self {
        let components = [
            Component::Etcd,
            Component::ApiServer,
            Component::ControllerManager,
        ];
        let entries = components.into_iter().filter_map(|component| {
            Some((
                component.to_string(),
                cluster.process(component).ok()?.pid(),
            ))
        });
        Self {
            path: cluster.data_dir().join("processes.json"),
            entries: Mutex::new(entries.collect()),
        }
    }

    fn enter(&self, name: &str, pid: Option<u32>) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        match pid {
            Some(pid) => entries.insert(name.to_owned(), pid),
            None => entries.remove(name),
        };
        // Under the lock, so that the last one to enter is the last one to write.
        let text = serde_json::to_vec_pretty(&*entries).unwrap_or_default();
        if let Err(failure) = greeting::write_whole(&self.path, &text) {
            greeting::tell(&failure.to_string());
        }
    }
}
