//! Holds that neither the watches nor a refusal have decided: their objects are looked for.
//!
//! An object is read once for all its holds, and a quota written once for all that go: who repeats a request that is refused behind
//! us leaves holds as fast as he can send, and they must go faster than that.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

use futures::{StreamExt, stream};
use sluice_policy::ledger::{Hold, ObjectKey, QuotaKey, Step, expire};

use super::{Keeper, show};
use crate::ledger::LedgerKeeper;
use crate::ledger::quotas::{QuotaCopy, QuotaError};
use crate::ledger::undecided;
use crate::metrics::metrics;

/// Objects looked at per quota and tick: a list that is full is through within four ticks, even with one hold for each object.
const OBJECTS_PER_TICK: usize = 256;
/// Of these, how many at a time. News and counts wait meanwhile, and the API server is everybody's.
const READS: usize = 8;
/// Attempts at one write while others keep writing first; then the next tick finds the holds again.
const ATTEMPTS: u32 = 8;

type ByObject = BTreeMap<ObjectKey, Vec<Hold>>;

impl Keeper<'_> {
    pub(super) async fn see_to_undecided(&mut self) {
        let keys: Vec<QuotaKey> = self.quotas.keys().cloned().collect();
        for key in keys {
            let objects = self.undecided_in(&key);
            if objects.is_empty() {
                continue;
            }
            let of = self.of;
            let looks = stream::iter(objects)
                .map(|(object, holds)| look(of, &key, object, holds))
                .buffer_unordered(READS);
            let void: Vec<Hold> = looks.flat_map(stream::iter).collect().await;
            self.drop_holds(&key, &void).await;
            // What was fenced or has moved is covered by the next count.
            self.again(&key, self.of.settings.debounce);
        }
    }

    /// Those whose turn it is. It goes on behind the last one, so that objects about which nothing can be told hold up no others.
    fn undecided_in(&mut self, key: &QuotaKey) -> ByObject {
        let of = self.of;
        let Some(known) = self.quotas.get_mut(key) else {
            return ByObject::default();
        };
        let Ok(account) = &known.copy.account else {
            return ByObject::default();
        };
        let mut objects = ByObject::default();
        for hold in of.sightings.due(key, &account.book, of.settings.undecided) {
            let holds = objects.entry(hold.object.clone()).or_default();
            holds.push(hold);
        }
        let last = known.looked_for.take();
        let behind = last.map_or(Unbounded, Excluded);
        let names: Vec<ObjectKey> = objects
            .range((behind, Unbounded))
            .chain(&objects)
            .map(|(object, _)| object.clone())
            .take(OBJECTS_PER_TICK.min(objects.len()))
            .collect();
        known.looked_for = names.last().cloned();
        let mut turn = ByObject::default();
        for name in names {
            if let Some(holds) = objects.remove(&name) {
                turn.insert(name, holds);
            }
        }
        turn
    }

    async fn drop_holds(&mut self, key: &QuotaKey, void: &[Hold]) {
        let ids: Vec<String> = void.iter().map(|hold| hold.id.clone()).collect();
        for _ in 0..ATTEMPTS {
            if ids.is_empty() {
                return;
            }
            let Ok(copy) = QuotaCopy::read(&self.of.client, key).await else {
                return;
            };
            let Ok(account) = &copy.account else { return };
            let Some(book) = account.book.release(&ids) else {
                return;
            };
            let dropped = account.book.pending.len() - book.pending.len();
            match copy.write(&self.of.client, account, &book).await {
                Ok(written) => {
                    metrics().expired(dropped);
                    show(&written);
                    tracing::info!(quota = %key, holds = dropped, "dropped the holds of writes that can no longer come");
                    if let Some(known) = self.quotas.get_mut(key) {
                        known.take(written);
                    }
                    return;
                }
                Err(QuotaError::Conflict) => metrics().conflict(),
                Err(error) => {
                    tracing::debug!(quota = %key, holds = dropped, %error, "holds are dropped later");
                    return;
                }
            }
        }
    }
}

/// Looks for an object and fences what needs it; returns the holds whose write can never come.
async fn look(
    of: &LedgerKeeper,
    quota: &QuotaKey,
    object: ObjectKey,
    mut holds: Vec<Hold>,
) -> Vec<Hold> {
    let Some(resource) = of.resources.iter().find(|it| it.key() == object.resource) else {
        tracing::warn!(%quota, resource = object.resource, "a hold is for a resource that this version does not know");
        return Vec::new();
    };
    let sight = match undecided::find(&of.client, resource, &object).await {
        Ok(sight) => sight,
        Err(error) => {
            tracing::warn!(%quota, namespace = object.namespace, object = object.name, %error, "the object of undecided holds could not be read");
            return Vec::new();
        }
    };
    let step = |hold: &Hold| expire::decide(hold, &sight.of(hold));
    // All that are to be fenced start from the one revision that was read: what moves the object past it fences them all.
    if let Some(hold) = holds.iter().find(|hold| step(hold) == Step::Fence)
        && let Err(error) = undecided::fence(&of.client, resource, hold).await
    {
        tracing::warn!(%quota, hold = hold.id, %error, "an undecided hold could not be fenced");
    }
    holds.retain(|hold| step(hold) == Step::Drop);
    holds
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::{Value, json};
    use sluice_policy::MilliCpu;

    use super::*;
    use crate::ledger::absence::Absences;
    use crate::ledger::looks::Looks;
    use crate::ledger::quotas::{Kind, QuotaNews};
    use crate::ledger::{Resource, Settings};
    use crate::played::{ApiServer, refusal};

    const QUOTA: &str = "/apis/sluice.dev/v1alpha1/clustercpuquotas/all";

    fn resource() -> Resource {
        Resource {
            group: "sluice.dev".into(),
            version: "v1alpha1".into(),
            plural: "sessionclusters".into(),
        }
    }

    fn quota(pending: &[String]) -> Value {
        json!({
            "apiVersion": "sluice.dev/v1alpha1", "kind": "ClusterCpuQuota",
            "metadata": {"name": "all", "uid": "q", "generation": 1, "resourceVersion": "5"},
            "spec": {"hard": {"cpu": 100}, "namespaces": ["*"]},
            "status": {"chargeFn": 2, "observedGeneration": 1, "confirmedMilli": 0, "pending": pending},
        })
    }

    fn line(name: usize, attempt: usize) -> String {
        format!(
            "0->1 sessionclusters.sluice.dev/team-a/n-{name:03} uid=u-{attempt} base=0 id=r-{name}-{attempt} by=ann"
        )
    }

    fn keeper_of(client: kube::Client) -> LedgerKeeper {
        LedgerKeeper {
            client,
            resources: vec![resource()],
            charge: Arc::new(|_, _| MilliCpu(0)),
            facts: None,
            sightings: Arc::default(),
            settings: Settings {
                undecided: std::time::Duration::ZERO,
                ..Settings::default()
            },
        }
    }

    fn knowing(of: &LedgerKeeper, quota: Value) -> Keeper<'_> {
        let mut keeper = Keeper {
            of,
            inventory: sluice_policy::ledger::Inventory::of([resource().key()]),
            quotas: BTreeMap::new(),
            listed: Vec::new(),
            epochs: BTreeMap::new(),
            settled: false,
            charges_old_since: None,
            looks: Looks::new(of.client.clone(), 100),
            absences: Absences::default(),
        };
        let quota: sluice_api::quota::ClusterCpuQuota = serde_json::from_value(quota).unwrap();
        keeper.learn_quota(QuotaNews::Listed(Kind::Cluster, vec![quota.into()]));
        keeper
    }

    fn not_found(path: &str) -> (u16, Value) {
        let mut status = refusal(404);
        status["details"] = json!({"name": path.rsplit('/').next()});
        (404, status)
    }

    fn asked(server: &ApiServer, what: &str) -> usize {
        let asked = server.asked();
        asked.iter().filter(|it| it.starts_with(what)).count()
    }

    /// Found by tracing the code: each hold took three calls in sequence, less than one such client sends.
    #[tokio::test]
    async fn holds_that_go_are_read_once_for_each_object_and_written_once_for_all() {
        let pending: Vec<_> = (0..240).map(|hold| line(hold / 8, hold % 8)).collect();
        let stored = quota(&pending);
        let (before, after) = (stored.clone(), quota(&[]));
        let writes = Arc::new(AtomicUsize::new(0));
        let server = ApiServer::answering(move |asked| match asked {
            it if it == format!("GET {QUOTA}") => (200, before.clone()),
            // Another one writes first, once.
            it if it.starts_with("PUT") && writes.fetch_add(1, Ordering::SeqCst) == 0 => {
                (409, refusal(409))
            }
            it if it.starts_with("PUT") => (200, after.clone()),
            it => not_found(it),
        })
        .await;
        let of = keeper_of(server.client.clone());
        let mut keeper = knowing(&of, stored);
        keeper.see_to_undecided().await;
        let objects = "GET /apis/sluice.dev/v1alpha1/namespaces/team-a/sessionclusters/";
        assert_eq!(asked(&server, objects), 30);
        assert_eq!(asked(&server, "PUT"), 2);
        let known = keeper.quotas.values().next().unwrap();
        assert!(!super::super::holds(known));
    }

    #[tokio::test]
    async fn objects_about_which_nothing_can_be_told_hold_up_no_others() {
        let pending: Vec<_> = (0..OBJECTS_PER_TICK + 44).map(|it| line(it, 0)).collect();
        let server = ApiServer::answering(|_| (500, refusal(500))).await;
        let of = keeper_of(server.client.clone());
        let mut keeper = knowing(&of, quota(&pending));
        keeper.see_to_undecided().await;
        assert_eq!(server.asked().len(), OBJECTS_PER_TICK);
        keeper.see_to_undecided().await;
        let objects: BTreeSet<_> = server.asked().into_iter().collect();
        assert_eq!(objects.len(), pending.len(), "each had its turn");
    }
}
