//! Who leads: at most one controller at a time, by a Lease.
//!
//! Written here because the crates that do this follow kube by a release or more, or compare the Lease's times with this
//! machine's clock. Here, as in client-go, only this process's monotonic clock counts: a Lease is taken over when it was
//! *seen unchanged* for its whole duration, and leadership is given up well before others may think so.
//!
//! What is done under leadership must be safe without it (a paused process does not know that it has been replaced): the
//! ledger writes by compare-and-swap only.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use tokio::sync::watch;
use tokio::time::{Instant, interval, sleep_until, timeout};

use crate::metrics::metrics;
use crate::ops::Pulse;

/// Times of the election; the defaults are client-go's.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// How long a Lease that nobody renews is respected by others.
    pub lease: Duration,
    /// How long the leader works on without having renewed it. Less than `lease`.
    pub renew: Duration,
    /// Between attempts.
    pub retry: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(15),
            renew: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// Whether this process leads. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Leadership {
    until: watch::Receiver<Option<Instant>>,
}

impl Leadership {
    /// Of one who leads without an election, for a single controller and for tests.
    pub fn always() -> Self {
        let far = Instant::now() + Duration::from_hours(24 * 365 * 30);
        let (sender, until) = watch::channel(Some(far));
        // A channel whose sender is gone keeps its last value.
        drop(sender);
        Self { until }
    }

    /// Whether it leads now.
    pub fn leads(&self) -> bool {
        self.until
            .borrow()
            .is_some_and(|until| Instant::now() < until)
    }

    /// Waits until it leads.
    pub async fn acquired(&mut self) {
        while !self.leads() {
            if self.until.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until it leads no longer.
    pub async fn lost(&mut self) {
        loop {
            let Some(until) = *self.until.borrow_and_update() else {
                return;
            };
            tokio::select! {
                () = sleep_until(until) => {
                    if !self.leads() {
                        return;
                    }
                }
                changed = self.until.changed() => if changed.is_err() {
                    sleep_until(until).await;
                    return;
                }
            }
        }
    }
}

/// Takes part in an election.
#[derive(Debug)]
pub struct Elector {
    api: Api<Lease>,
    name: String,
    identity: String,
    times: Times,
    until: watch::Sender<Option<Instant>>,
    pulse: watch::Sender<Pulse>,
    seen: Option<(String, Instant)>,
}

/// What came of an attempt at the Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It is ours.
    Ours,
    /// Another one has it.
    Others,
    /// Something was written since it was read.
    Met,
}

/// The Lease could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("Lease {namespace}/{name}: {source}")]
pub struct ElectionError {
    namespace: String,
    name: String,
    source: Box<kube::Error>,
}

impl Elector {
    /// For the Lease of this name. `identity` must be this process's own: the pod's name and something random.
    pub fn new(
        client: Client,
        namespace: &str,
        name: &str,
        identity: &str,
        times: Times,
    ) -> (Self, Leadership) {
        let (sender, until) = watch::channel(None);
        let elector = Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity: identity.to_owned(),
            times,
            until: sender,
            pulse: watch::channel(Pulse::begin()).0,
            seen: None,
        };
        (elector, Leadership { until })
    }

    /// How the election goes on, for probes.
    pub fn pulse(&self) -> watch::Receiver<Pulse> {
        self.pulse.subscribe()
    }

    /// Takes part until `stop` is ready, then gives the Lease back so that the next one need not wait.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        let mut ticks = interval(self.times.retry);
        loop {
            tokio::select! {
                () = &mut stop => break,
                _ = ticks.tick() => {}
            }
            let started = Instant::now();
            let turn = timeout(self.times.renew.min(self.times.retry * 2), self.turn()).await;
            self.pulse.send_modify(|pulse| {
                pulse.turned = Instant::now();
                pulse.held |= matches!(turn, Ok(Ok(_)));
            });
            match turn {
                Ok(Ok(true)) => {
                    if self
                        .until
                        .send_replace(Some(started + self.times.renew))
                        .is_none()
                    {
                        metrics().leads(true);
                        tracing::info!(lease = self.name, identity = self.identity, "leading");
                    }
                }
                Ok(Ok(false)) => self.step_down("another one leads"),
                // Leadership runs out by itself if this lasts.
                Ok(Err(error)) => tracing::warn!(%error, "the election could not be held"),
                Err(_) => {
                    tracing::warn!(lease = self.name, "the API server did not answer in time");
                }
            }
            if self
                .until
                .borrow()
                .is_some_and(|until| until <= Instant::now())
            {
                self.step_down("the Lease could not be renewed");
            }
        }
        let led = self.until.send_replace(None).is_some();
        if led && let Ok(Err(error)) = timeout(self.times.retry, self.give_back()).await {
            tracing::warn!(%error, "the Lease could not be given back; others wait until it runs out");
        }
    }

    fn step_down(&self, why: &str) {
        if self.until.send_replace(None).is_some() {
            metrics().leads(false);
            tracing::warn!(lease = self.name, why, "leading no longer");
        }
    }

    /// Takes or renews the Lease; whether it is ours now.
    async fn turn(&mut self) -> Result<bool, ElectionError> {
        // What a write met may be our own last one, given up when it took too long and carried out all the same: that is no loss.
        match self.attempt().await? {
            Outcome::Met => Ok(self.attempt().await? == Outcome::Ours),
            outcome => Ok(outcome == Outcome::Ours),
        }
    }

    /// One attempt at it.
    async fn attempt(&mut self) -> Result<Outcome, ElectionError> {
        let Some(lease) = self
            .api
            .get_opt(&self.name)
            .await
            .map_err(|error| self.error(error))?
        else {
            let lease = Lease {
                metadata: ObjectMeta {
                    name: Some(self.name.clone()),
                    ..ObjectMeta::default()
                },
                spec: Some(self.claim(None)),
            };
            return self.outcome(self.api.create(&PostParams::default(), &lease).await);
        };
        let version = lease.metadata.resource_version.clone().unwrap_or_default();
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.clone().unwrap_or_default();
        if holder != self.identity && !holder.is_empty() && !self.has_lapsed(&version, &spec) {
            return Ok(Outcome::Others);
        }
        let mut next = lease;
        next.spec = Some(self.claim(Some(&spec)));
        // At the version read: two who find it lapsed cannot both have it.
        let written = self
            .api
            .replace(&self.name, &PostParams::default(), &next)
            .await;
        self.outcome(written)
    }

    fn has_lapsed(&mut self, version: &str, spec: &LeaseSpec) -> bool {
        let now = Instant::now();
        let seconds = spec
            .lease_duration_seconds
            .and_then(|seconds| u64::try_from(seconds).ok());
        let duration = seconds.map_or(self.times.lease, Duration::from_secs);
        match &self.seen {
            Some((seen, since)) if seen == version => {
                now.saturating_duration_since(*since) >= duration
            }
            _ => {
                self.seen = Some((version.to_owned(), now));
                false
            }
        }
    }

    fn claim(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let before = before.cloned().unwrap_or_default();
        let renewed = before.holder_identity.as_deref() == Some(&self.identity);
        let transitions = before.lease_transitions.unwrap_or_default();
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(
                i32::try_from(self.times.lease.as_secs().max(1)).unwrap_or(i32::MAX),
            ),
            acquire_time: if renewed {
                before.acquire_time
            } else {
                Some(now.clone())
            },
            renew_time: Some(now),
            lease_transitions: Some(if renewed {
                transitions
            } else {
                transitions.saturating_add(1)
            }),
            ..LeaseSpec::default()
        }
    }

    async fn give_back(&self) -> Result<(), ElectionError> {
        let mut lease = self
            .api
            .get(&self.name)
            .await
            .map_err(|error| self.error(error))?;
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_deref() != Some(&self.identity) {
            return Ok(());
        }
        spec.holder_identity = None;
        spec.renew_time = Some(MicroTime(Timestamp::now()));
        let written = self
            .api
            .replace(&self.name, &PostParams::default(), &lease)
            .await;
        self.outcome(written).map(drop)
    }

    fn outcome(&self, written: kube::Result<Lease>) -> Result<Outcome, ElectionError> {
        match written {
            Ok(_) => Ok(Outcome::Ours),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(Outcome::Met),
            Err(error) => Err(self.error(error)),
        }
    }

    fn error(&self, error: kube::Error) -> ElectionError {
        ElectionError {
            namespace: self.api.namespace().unwrap_or_default().to_owned(),
            name: self.name.clone(),
            source: Box::new(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::{Value, json};

    use super::*;
    use crate::played::{ApiServer, refusal};

    /// The Lease as it stands, whose holder the test names.
    fn lease(holder: &str, version: usize) -> Value {
        json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": "l", "namespace": "n", "resourceVersion": version.to_string()},
            "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15}})
    }

    /// A leader whose first write meets another one; by `holder` is the Lease that is read from then on.
    async fn meets(holder: &'static str) -> (bool, usize) {
        let writes = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&writes);
        let server = ApiServer::answering(move |asked| {
            if asked.starts_with("PUT ") {
                return match counted.fetch_add(1, Ordering::SeqCst) {
                    0 => (409, refusal(409)),
                    _ => (200, lease("me", 3)),
                };
            }
            match counted.load(Ordering::SeqCst) {
                0 => (200, lease("me", 1)),
                _ => (200, lease(holder, 2)),
            }
        })
        .await;
        let (mut elector, _) =
            Elector::new(server.client.clone(), "n", "l", "me", Times::default());
        let is_ours = elector.turn().await.unwrap();
        (is_ours, writes.load(Ordering::SeqCst))
    }

    #[tokio::test]
    async fn a_leader_that_meets_its_own_late_write_leads_on() {
        assert_eq!(meets("me").await, (true, 2));
    }

    #[tokio::test]
    async fn a_leader_that_meets_anothers_write_does_not() {
        assert_eq!(meets("other").await, (false, 1));
    }
}
