//! What Flink's REST API says, asked rarely and never in a reconciler's way: one question per cluster at a time, in a task of its
//! own, whose answer calls for the next reconciliation.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::flink::{FlinkError, FlinkHttp};

/// JobManagers that are asked at once: each has a connection of its own.
const AT_ONCE: usize = 64;

/// What a JobManager said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flink {
    /// Ids of the TaskManagers that have registered: names of their pods, from Flink 1.12 on.
    pub task_managers: Vec<String>,
    /// Their number as the overview has it, which is asked for by itself and may be of another moment.
    pub counted: u32,
    /// Task slots of all of them.
    pub slots_total: u32,
    /// Task slots that no job uses.
    pub slots_available: u32,
    /// Jobs that have not ended.
    pub jobs: u32,
}

/// What was heard of the JobManager that runs now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Heard {
    /// It has not been asked yet.
    #[default]
    Nothing,
    /// Its newest answer.
    Answer(Flink),
    /// It did not answer so many times in a row.
    Silent {
        /// How many times.
        times: u32,
        /// The last reason.
        why: String,
    },
}

/// How soon a JobManager is to be asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// Not at all.
    No,
    /// Something is awaited.
    Soon,
    /// It runs, and is looked at now and then.
    Slowly,
}

/// Where a JobManager's REST API is, by the cluster IP of its Service.
pub type AddressOf = Arc<dyn Fn(&str) -> String + Send + Sync>;
/// Told whose answer has come: namespace and name.
pub type Tell = Arc<dyn Fn(&str, &str) + Send + Sync>;

/// Who is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Namespace of the cluster.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Which process of its JobManager: [`super::scene::process`].
    pub process: String,
    /// Address of its REST API.
    pub address: String,
}

/// How often is asked.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// While something is awaited.
    pub soon: Duration,
    /// Else.
    pub slowly: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            soon: Duration::from_secs(2),
            slowly: Duration::from_secs(30),
        }
    }
}

/// Asks JobManagers. Dropping it ends all questions.
pub struct Health {
    http: FlinkHttp,
    pace: Pace,
    tell: Tell,
    known: Arc<Mutex<HashMap<String, Known>>>,
    tasks: Mutex<JoinSet<()>>,
    turns: Arc<Semaphore>,
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health")
            .field("pace", &self.pace)
            .finish_non_exhaustive()
    }
}

struct Known {
    /// The process that was asked: another one knows nothing of what this one said.
    process: String,
    asked: Instant,
    in_flight: bool,
    heard: Heard,
}

impl Health {
    /// With this client and pace.
    pub fn new(http: FlinkHttp, pace: Pace, tell: Tell) -> Self {
        Self {
            http,
            pace,
            tell,
            known: Arc::default(),
            tasks: Mutex::new(JoinSet::new()),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// What was heard of this process of the JobManager.
    pub fn heard(&self, uid: &str, process: &str) -> Heard {
        match lock(&self.known).get(uid) {
            Some(known) if known.process == process => known.heard.clone(),
            _ => Heard::Nothing,
        }
    }

    /// Asks if it is time to; returns after which time to call again, if at all.
    pub fn listen(&self, asked: Asked, listen: Listen) -> Option<Duration> {
        let Asked {
            namespace,
            name,
            uid,
            process,
            address,
        } = asked;
        let every = match listen {
            Listen::No => return None,
            Listen::Soon => self.pace.soon,
            Listen::Slowly => self.pace.slowly,
        };
        let now = Instant::now();
        {
            let mut known = lock(&self.known);
            if let Some(known) = known.get(&uid)
                && known.process == process
            {
                if known.in_flight {
                    return None; // its end calls for a reconciliation
                }
                let due = known.asked + self.backed_off(every, &known.heard);
                if now < due {
                    return Some(due.saturating_duration_since(now));
                }
            }
            let heard = match known.remove(&uid) {
                Some(known) if known.process == process => known.heard,
                _ => Heard::Nothing,
            };
            known.insert(
                uid.clone(),
                Known {
                    process: process.clone(),
                    asked: now,
                    in_flight: true,
                    heard,
                },
            );
        }
        let (http, known, tell, turns) = (
            self.http.clone(),
            Arc::clone(&self.known),
            Arc::clone(&self.tell),
            Arc::clone(&self.turns),
        );
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move {
            let answer = {
                // Nobody ever closes it.
                let _turn = turns.acquire().await;
                ask(&http, &address).await
            };
            if let Some(known) = lock(&known).get_mut(&uid)
                && known.process == process
            {
                known.in_flight = false;
                known.heard = after(&known.heard, answer);
            }
            tell(&namespace, &name);
        });
        None
    }

    /// Who does not answer is asked less and less often, down to the slow pace.
    fn backed_off(&self, every: Duration, heard: &Heard) -> Duration {
        match heard {
            Heard::Silent { times, .. } => every
                .saturating_mul(1 << (*times).saturating_sub(1).min(4))
                .min(self.pace.slowly.max(every)),
            _ => every,
        }
    }

    /// The cluster is gone.
    pub fn forget(&self, uid: &str) {
        lock(&self.known).remove(uid);
    }
}

fn lock(known: &Mutex<HashMap<String, Known>>) -> MutexGuard<'_, HashMap<String, Known>> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

fn after(before: &Heard, answer: Result<Flink, FlinkError>) -> Heard {
    match (answer, before) {
        (Ok(flink), _) => Heard::Answer(flink),
        (Err(error), Heard::Silent { times, .. }) => Heard::Silent {
            times: times.saturating_add(1),
            why: error.to_string(),
        },
        (Err(error), _) => Heard::Silent {
            times: 1,
            why: error.to_string(),
        },
    }
}

async fn ask(http: &FlinkHttp, address: &str) -> Result<Flink, FlinkError> {
    let client = http.at(address)?;
    // One after the other: on one connection.
    let overview = client.overview().await?;
    let task_managers = client.taskmanagers().await?;
    Ok(Flink {
        task_managers: task_managers.into_iter().map(|one| one.id).collect(),
        counted: overview.taskmanagers,
        slots_total: overview.slots_total,
        slots_available: overview.slots_available,
        jobs: overview.jobs_running,
    })
}
