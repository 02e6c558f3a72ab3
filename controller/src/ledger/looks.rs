//! First looks that are under way ([`super::first_look`]). They are taken beside the leader's loop, which counts other quotas meanwhile; at
//! most one goes on for a quota at a time. Few go on at once and each lists one place after the other, so that they leave the API server
//! to those who wait for an answer.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use sluice_policy::ledger::{QuotaKey, Scope};
use tokio::sync::Semaphore;
use tokio::task::{Id, JoinSet};
use tokio::time::timeout;

use super::Resource;
use super::first_look::FirstLook;
use super::resources::WatchError;

/// How many looks list at the same time.
const AT_ONCE: usize = 4;
/// How long one may take once it lists.
const TIME: Duration = Duration::from_mins(1);

/// What is looked at: a quota's uid and generation, and the resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Of the quota.
    pub uid: String,
    /// Of the quota, as it was read.
    pub generation: i64,
    /// Those that are listed.
    pub resources: Vec<Resource>,
}

/// Why a look came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// A list failed.
    #[error(transparent)]
    Call(#[from] WatchError),
    /// It was given up.
    #[error("the lists took longer than {} s", TIME.as_secs())]
    Slow,
    /// It ended without a result.
    #[error("it ended without a result")]
    Died,
}

/// A look that is over.
#[derive(Debug)]
pub struct Ended {
    /// The quota.
    pub key: QuotaKey,
    /// What was looked at.
    pub subject: Subject,
    /// What was found.
    pub look: Result<FirstLook, LookError>,
}

/// The looks that are under way. Dropping them ends them.
pub struct Looks {
    client: Client,
    page: u32,
    room: Arc<Semaphore>,
    tasks: JoinSet<Result<FirstLook, LookError>>,
    under_way: HashMap<Id, (QuotaKey, Subject)>,
}

impl fmt::Debug for Looks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Looks")
            .field("under_way", &self.under_way)
            .finish_non_exhaustive()
    }
}

impl Looks {
    /// None yet. `page`: objects per page of a list.
    pub fn new(client: Client, page: u32) -> Self {
        Self {
            client,
            page,
            room: Arc::new(Semaphore::new(AT_ONCE)),
            tasks: JoinSet::new(),
            under_way: HashMap::new(),
        }
    }

    /// Whether a quota is being looked at.
    pub fn is_under_way(&self, key: &QuotaKey) -> bool {
        self.under_way.values().any(|(of, _)| of == key)
    }

    /// Looks at a quota that has been read, unless a look at it is under way.
    pub fn begin(&mut self, key: &QuotaKey, subject: Subject, scope: Scope) {
        if self.is_under_way(key) {
            return;
        }
        let (client, page, room) = (self.client.clone(), self.page, Arc::clone(&self.room));
        let resources = subject.resources.clone();
        let task = self.tasks.spawn(async move {
            let _place = room.acquire_owned().await.map_err(|_| LookError::Died)?;
            let look = FirstLook::take(&client, &resources, &scope, page);
            Ok(timeout(TIME, look).await.map_err(|_| LookError::Slow)??)
        });
        self.under_way.insert(task.id(), (key.clone(), subject));
    }

    /// The next that is over; `None` at once if none is under way. Nothing is lost if the future is dropped.
    pub async fn ended(&mut self) -> Option<Ended> {
        let (id, look) = match self.tasks.join_next_with_id().await? {
            Ok(ended) => ended,
            Err(error) => (error.id(), Err(LookError::Died)),
        };
        let (key, subject) = self.under_way.remove(&id)?;
        Some(Ended { key, subject, look })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::json;
    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::played::client_of;

    /// Requests that are being answered, the most there were at once, and how many there were.
    #[derive(Default)]
    struct Load {
        now: usize,
        most: usize,
        all: usize,
    }

    /// An API server without objects that takes its time.
    async fn slow_server(takes: Duration) -> (Client, Arc<Mutex<Load>>) {
        let load = Arc::new(Mutex::new(Load::default()));
        let counted = Arc::clone(&load);
        let answer = move || {
            let load = Arc::clone(&counted);
            async move {
                {
                    let mut load = load.lock().unwrap();
                    load.now += 1;
                    load.all += 1;
                    load.most = load.most.max(load.now);
                }
                sleep(takes).await;
                load.lock().unwrap().now -= 1;
                let list = json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
                    "metadata": {"resourceVersion": "1"}, "items": []});
                list.to_string()
            }
        };
        (client_of(answer).await, load)
    }

    fn quota(index: usize) -> QuotaKey {
        QuotaKey::Cluster {
            name: format!("q{index}"),
        }
    }

    fn subject() -> Subject {
        let resource = |plural: &str| Resource {
            group: "sluice.dev".into(),
            version: "v1alpha1".into(),
            plural: plural.into(),
        };
        Subject {
            uid: "u".into(),
            generation: 1,
            resources: vec![resource("sessionclusters"), resource("deployments")],
        }
    }

    #[tokio::test]
    async fn few_lists_go_on_at_once_and_one_look_for_a_quota() {
        let (client, load) = slow_server(Duration::from_millis(5)).await;
        let mut looks = Looks::new(client, 500);
        assert!(looks.ended().await.is_none());
        let names = (0..6).map(|index| format!("n{index}")).collect();
        let scope = Scope::Namespaces(names);
        for index in 0..10 {
            looks.begin(&quota(index), subject(), scope.clone());
        }
        looks.begin(&quota(3), subject(), scope);
        let mut ended = 0;
        while let Some(Ended { key, look, .. }) = looks.ended().await {
            assert!(!looks.is_under_way(&key));
            look.unwrap();
            ended += 1;
        }
        let load = load.lock().unwrap();
        assert_eq!((ended, load.all), (10, 10 * 2 * 6));
        assert!(load.most <= AT_ONCE, "{} lists at once", load.most);
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_gets_no_answer_is_given_up() {
        let (client, _) = slow_server(TIME * 100).await;
        let mut looks = Looks::new(client, 500);
        looks.begin(&quota(0), subject(), Scope::Everywhere);
        let began = Instant::now();
        let ended = looks.ended().await.unwrap();
        assert!(
            matches!(ended.look, Err(LookError::Slow)),
            "{:?}",
            ended.look
        );
        assert!(began.elapsed() < TIME * 2);
    }
}
