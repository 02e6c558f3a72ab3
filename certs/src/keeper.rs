//! The tick: one CA for all replicas, a leaf of our own, bundles that trust it, and whether the process may be ready.
//!
//! The tick follows the wall clock: a monotonic timer stands still while a machine sleeps, a certificate does not. What changes in
//! between is heard by a watch, and brings the tick forward.

use crate::answer::in_time;
use crate::authority;
use crate::bundle::{Held, Target};
use crate::error::Error;
use crate::generations::{Generations, certificates};
use crate::leaf::Leaf;
use crate::news;
use crate::resolver::LeafResolver;
use crate::rotation::{self, Pace, Situation, Step};
use crate::store::{CaStore, Found, Marks, Read};
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The wall clock is looked at this often.
const GLANCE: Duration = Duration::from_secs(2);

/// First and longest wait before another attempt while something is left to do.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Rounds in one tick before the next tick goes on: a rotation takes three, and each may lose a race against another replica.
const ROUNDS: u32 = 16;

/// Certificates that are taken over from bundles of a CA that was lost. More of them are an accident.
const TAKEN_OVER: usize = 4;

/// What is kept, and where.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Namespace of the Secret.
    pub namespace: String,
    /// Name of the Secret that all replicas share.
    pub secret: String,
    /// Host names and addresses of the leaf; the first is the one by which the API server comes.
    pub names: Vec<String>,
    /// Configurations whose `caBundle` is kept.
    pub targets: Vec<Target>,
    /// How often everything is reconciled; 60 s in production.
    pub tick: Duration,
    /// How long the phases of a rotation last.
    pub pace: Pace,
}

/// Whether the API server would accept our leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It would not, or it is not known yet; the text says what is missing.
    NotReady(String),
    /// The leaf verifies against every bundle that was read back.
    Ready {
        /// When the leaf ends.
        leaf_ends: Timestamp,
        /// When the CA ends.
        ca_ends: Timestamp,
    },
}

/// Keeps CA, leaf and bundles.
pub struct Keeper {
    client: kube::Client,
    store: CaStore,
    settings: Settings,
    resolver: Arc<LeafResolver>,
    state: watch::Sender<State>,
    generations: Option<Generations>,
    /// What was written on the Secret when it was read last.
    marks: Option<Marks>,
    /// The CA certificate that signed the leaf that is served.
    signed_by: Option<CertificateDer<'static>>,
    /// Bundles as they were read back last.
    bundles: Vec<String>,
    /// Whether the last tick did all that it had to.
    settled: bool,
}

impl Keeper {
    /// A keeper that has done nothing yet, and where its state can be watched.
    pub fn new(
        client: kube::Client,
        settings: Settings,
        resolver: Arc<LeafResolver>,
    ) -> (Self, watch::Receiver<State>) {
        let (state, watched) = watch::channel(State::NotReady("no certificate yet".to_owned()));
        let store = CaStore::new(client.clone(), &settings.namespace, &settings.secret);
        let keeper = Self {
            client,
            store,
            settings,
            resolver,
            state,
            generations: None,
            marks: None,
            signed_by: None,
            bundles: Vec::new(),
            settled: false,
        };
        (keeper, watched)
    }

    /// Reconciles at every tick, and when something changes, until told to stop; more often while something is left to do.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut news = news::of(&self.client, &self.store, &self.settings.targets);
        let mut retry = RETRY.0;
        loop {
            let began = Timestamp::now();
            let state = self.tick(began).await;
            self.publish(state);
            let wait = if self.settled {
                retry = RETRY.0;
                self.settings.tick.min(self.phase())
            } else {
                let wait = retry;
                retry = (retry * 2).min(RETRY.1);
                wait
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = wall_clock_sleep(began, wait) => {}
                () = news.next(), if self.settled => {}
            }
        }
    }

    /// The shortest phase: a tick that is longer would draw a rotation out.
    fn phase(&self) -> Duration {
        let Pace { dwell, retire } = self.settings.pace;
        Duration::try_from(dwell.min(retire)).unwrap_or(self.settings.tick)
    }

    fn publish(&self, state: State) {
        self.state.send_if_modified(|held| {
            if *held == state {
                return false;
            }
            match &state {
                State::NotReady(why) => tracing::warn!(%why, "certificates not ready"),
                State::Ready { leaf_ends, .. } => tracing::info!(%leaf_ends, "certificates ready"),
            }
            *held = state;
            true
        });
    }

    /// One round. What fails is told in the state; what was achieved before stays in use. An API server that does not answer
    /// is waited for only so long: a leaf ends whether it answers or not.
    pub async fn tick(&mut self, now: Timestamp) -> State {
        let reconciled = in_time("the CA and the caBundles", self.reconcile(now)).await;
        let minted = self.renew(now);
        let verified = self.verify(now);
        self.settled = verified.is_ok() && reconciled.is_ok() && minted.is_ok();
        match (verified, reconciled.and(minted)) {
            (Ok(state), Ok(())) => state,
            // The API may be away for as long as the leaf is good: what it last stored is still what it trusts.
            (Ok(state), Err(error)) => {
                tracing::warn!(%error, "certificates could not be reconciled; the leaf in use is still good");
                state
            }
            (Err(_), Err(error)) => State::NotReady(error.to_string()),
            (Err(why), Ok(())) => State::NotReady(why),
        }
    }

    /// Round by round until nothing is left to do: what the Secret holds, bundles that trust it, and the next step of a rotation.
    async fn reconcile(&mut self, now: Timestamp) -> Result<(), Error> {
        for _ in 0..ROUNDS {
            // Before the Secret: whoever writes newer CAs writes the bundles after that, and ours are then refused.
            let mut held = Vec::new();
            for target in &self.settings.targets {
                held.push(target.read(&self.client).await?);
            }
            // Also where the rest fails: somebody else's bundles may be in force by now, and then this leaf is no good.
            let stored: Option<Vec<&Held>> = held.iter().map(Option::as_ref).collect();
            if let Some(stored) = stored.filter(|stored| !stored.is_empty()) {
                let bundles = stored.iter().flat_map(|held| held.bundles());
                self.bundles = bundles.map(str::to_owned).collect();
            }
            let found = match self.store.read().await? {
                Read::Found(found) => found,
                Read::Missing => {
                    let wanted = self.restored(&held, self.store.time(now).await?)?;
                    self.store.create(&wanted, self.marks.clone()).await?;
                    continue;
                }
                Read::Unusable(broken, error) => {
                    tracing::warn!(%error, "CA cannot be used; it is replaced");
                    let wanted = self.restored(&held, self.store.time(now).await?)?;
                    self.store.repair(*broken, &wanted).await?;
                    continue;
                }
            };
            if self.round(*found, held, now).await? {
                return Ok(());
            }
        }
        Err(Error::Contended(self.store.what(), ROUNDS))
    }

    /// Whether nothing is left to do.
    async fn round(
        &mut self,
        found: Found,
        held: Vec<Option<Held>>,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let bundle = found.generations.bundle();
        self.generations = Some(found.generations.clone());
        self.marks = Some(found.marks());
        if self.resolver.current().is_none() {
            // Serve something before the bundles are there: whoever waits for us sees a live port.
            self.renew(now)?;
        }
        let mut bundles = Vec::new();
        for (target, held) in self.settings.targets.iter().zip(held) {
            let Some(held) = held else {
                return Err(Error::Unreadable {
                    what: target.what(),
                    why: "it does not exist; install it (chart, or sluice up)".to_owned(),
                });
            };
            let Some(trusting) = target.trust(&self.client, held, &bundle).await? else {
                return Ok(false);
            };
            bundles.extend(trusting.bundles().map(str::to_owned));
        }
        if self.settings.targets.is_empty() {
            bundles.push(bundle);
        }
        self.bundles = bundles;
        let Some(step) = self.due(&found, now).await? else {
            return Ok(true);
        };
        let written = self
            .store
            .replace(found, &step.generations, step.answers)
            .await?;
        if written {
            tracing::info!(not_after = %step.generations.current.not_after(), "{}", step.what);
        }
        Ok(false)
    }

    /// The step that is due by our clock, and by the API server's where that shows something else: replicas would undo each other's
    /// steps without end if each went by a clock of its own.
    async fn due(&self, found: &Found, now: Timestamp) -> Result<Option<Step>, Error> {
        let by = |now| {
            let situation = Situation {
                held: &found.generations,
                written: found.written,
                request: found.request,
                bundles: &self.bundles,
                now,
            };
            rotation::step(&situation, self.settings.pace)
        };
        let Some(step) = by(now)? else {
            return Ok(None);
        };
        let theirs = self.store.time(now).await?;
        if theirs == now {
            return Ok(Some(step));
        }
        let step = by(theirs)?;
        if step.is_none() && !found.generations.current.is_valid(now) {
            return Err(Error::Astray { ours: now, theirs });
        }
        Ok(step)
    }

    /// The CAs of a Secret that is gone or broken: those that we know; else a new one, beside those that are trusted now, for other
    /// replicas still serve leaves of theirs.
    fn restored(&self, held: &[Option<Held>], now: Timestamp) -> Result<Generations, Error> {
        if let Some(known) = &self.generations {
            return Ok(known.clone());
        }
        let mut trusted: Vec<String> = Vec::new();
        let bundles = held.iter().flatten().flat_map(Held::bundles);
        for pem in bundles.flat_map(certificates) {
            if !trusted.contains(&pem) && authority::has_time_left(&pem, now) {
                trusted.push(pem);
            }
        }
        trusted.truncate(TAKEN_OVER);
        Generations::first(now, trusted)
    }

    /// A new leaf if there is none, it nears its end, or another CA signs now. Bundles come first: at the time of
    /// this call they were read back with the CA that signs.
    fn renew(&mut self, now: Timestamp) -> Result<(), Error> {
        let Some(generations) = &self.generations else {
            return Ok(());
        };
        let ca = &generations.current;
        if let Some(leaf) = self.resolver.current()
            && !leaf.is_due(now)
            && (self.signed_by.as_ref() == Some(ca.certificate()) || self.may_wait(&leaf, now))
        {
            return Ok(());
        }
        let leaf: Leaf = ca.sign(&self.settings.names, now)?;
        tracing::info!(not_after = %leaf.not_after(), "leaf made");
        self.signed_by = Some(ca.certificate().clone());
        self.resolver.replace(leaf);
        Ok(())
    }

    /// Whether a leaf of another CA is still the better one: it is trusted, and API servers may not have heard yet of the CA that
    /// signs now.
    fn may_wait(&self, leaf: &Leaf, now: Timestamp) -> bool {
        let since = self.generations.as_ref().and_then(|held| held.since);
        let young = since.is_some_and(|since| {
            let passed = now.duration_since(since);
            !passed.is_negative() && passed < self.settings.pace.dwell
        });
        let trusted = |name: &String| {
            let mut bundles = self.bundles.iter();
            bundles.all(|bundle| leaf.verify(bundle, name, now).is_ok())
        };
        young && self.settings.names.first().is_some_and(trusted)
    }

    fn verify(&self, now: Timestamp) -> Result<State, String> {
        let leaf = self.resolver.current().ok_or("no leaf yet")?;
        let generations = self.generations.as_ref().ok_or("no CA yet")?;
        let name = self.settings.names.first().ok_or("the leaf has no name")?;
        if self.bundles.is_empty() {
            return Err("no caBundle was read back yet".to_owned());
        }
        for bundle in &self.bundles {
            leaf.verify(bundle, name, now)
                .map_err(|error| format!("the API server would not accept our leaf: {error}"))?;
        }
        Ok(State::Ready {
            leaf_ends: leaf.not_after(),
            ca_ends: generations.current.not_after(),
        })
    }
}

/// Waits until the wall clock is `wait` past `began`, or has been set back before it.
async fn wall_clock_sleep(began: Timestamp, wait: Duration) {
    loop {
        let passed = Timestamp::now().duration_since(began);
        let Ok(passed) = Duration::try_from(passed) else {
            return;
        };
        let Some(left) = wait.checked_sub(passed).filter(|left| !left.is_zero()) else {
            return;
        };
        tokio::time::sleep(left.min(GLANCE)).await;
    }
}
