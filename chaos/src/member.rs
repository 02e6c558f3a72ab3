//! A process of Sluice's that can be killed, frozen, and is started again when it ends by itself.

use crate::proxy::Proxy;
use anyhow::Context as _;
use sluice_cluster::{Process, ProcessSpec};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::sleep;

/// One webhook or controller.
#[derive(Debug)]
pub struct Member {
    spec: ProcessSpec,
    /// Its way to the API server.
    pub way: Proxy,
    process: Mutex<Option<Process>>,
    ended: AtomicU64,
}

impl Member {
    /// Starts it.
    pub fn start(spec: ProcessSpec, way: Proxy) -> anyhow::Result<Self> {
        let process = Process::spawn(spec.clone())?;
        Ok(Self {
            spec,
            way,
            process: Mutex::new(Some(process)),
            ended: AtomicU64::new(0),
        })
    }

    /// SIGKILL, and a new one after a while.
    pub async fn kill(&self, down: Duration) -> anyhow::Result<()> {
        let mut process = self.process.lock().await;
        if let Some(running) = process.take() {
            running.kill();
            running.exited().await;
        }
        sleep(down).await;
        *process = Some(Process::spawn(self.spec.clone())?);
        Ok(())
    }

    /// SIGSTOP, and SIGCONT after a while.
    pub async fn freeze(&self, time: Duration) {
        let process = self.process.lock().await;
        if let Some(running) = process.as_ref() {
            running.freeze();
            sleep(time).await;
            running.thaw();
        }
    }

    /// Starts it again if it has ended by itself; nothing while a fault holds it.
    pub fn tend(&self) -> anyhow::Result<()> {
        let Ok(mut process) = self.process.try_lock() else {
            return Ok(());
        };
        let has_ended = process
            .as_ref()
            .is_none_or(|one| one.exit_status().is_some());
        if has_ended {
            self.ended.fetch_add(1, Ordering::Relaxed);
            let spawned = Process::spawn(self.spec.clone());
            *process = Some(spawned.with_context(|| self.spec.name.clone())?);
        }
        Ok(())
    }

    /// How often it has ended by itself.
    pub fn ended(&self) -> u64 {
        self.ended.load(Ordering::Relaxed)
    }

    /// Ends it.
    pub async fn stop(&self) {
        if let Some(process) = self.process.lock().await.take() {
            process.stop(Duration::from_secs(3)).await;
        }
    }
}
