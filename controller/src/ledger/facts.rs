//! What charges look up of other objects: a session job on a native session cluster pays for TaskManagers of the size
//! that its cluster says.
//!
//! The facts are learnt from the very objects that the ledger follows, so no second watch can disagree with it. When a
//! fact changes that a charge has asked for, the resource of the one who asked is listed anew. What is deleted is forgotten, as the
//! webhook knows nothing of it either.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use sluice_policy::dialect::dialect_for_resource;
use sluice_policy::world::{Layer, Lookup};
use sluice_policy::{KindInfo, MilliCpu, Modes, World};
use tokio::sync::watch;

use super::Resource;

/// Facts about the followed objects, and who has asked for them.
#[derive(Debug)]
pub struct Facts {
    known: Mutex<Known>,
    stale: BTreeMap<String, watch::Sender<u64>>,
}

#[derive(Debug, Default)]
struct Known {
    /// By [`key`].
    facts: HashMap<String, Fact>,
    /// By resource, how many lists of it have begun.
    lists: HashMap<String, u64>,
    /// Which resources' charges asked for a key.
    askers: HashMap<String, BTreeSet<String>>,
    /// The Apache operator's own configuration.
    operator: Option<Arc<Value>>,
}

#[derive(Debug)]
struct Fact {
    /// As text, which is a fraction of the size of the tree.
    text: String,
    /// The list of its resource that last had it, or the one before the event that did.
    list: u64,
}

fn key(resource: &str, namespace: &str, name: &str) -> String {
    format!("{resource}/{namespace}/{name}")
}

fn key_of(resource: &str, object: &Value) -> String {
    let text = |name| {
        object
            .pointer(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    key(
        resource,
        text("/metadata/namespace"),
        text("/metadata/name"),
    )
}

impl Known {
    fn list(&self, resource: &str) -> u64 {
        self.lists.get(resource).copied().unwrap_or_default()
    }
}

impl Facts {
    /// Nothing known yet about objects of these resources.
    pub fn of(resources: &[Resource]) -> Self {
        let stale = resources
            .iter()
            .map(|resource| (resource.key(), watch::Sender::new(0)))
            .collect();
        Self {
            known: Mutex::default(),
            stale,
        }
    }

    /// Changes whenever charges of this resource's objects have to be computed anew.
    pub fn stale(&self, resource: &Resource) -> Option<watch::Receiver<u64>> {
        self.stale
            .get(&resource.key())
            .map(watch::Sender::subscribe)
    }

    /// How often what this resource's charges look up has changed so far.
    pub fn epoch(&self, resource: &Resource) -> u64 {
        let stale = self.stale.get(&resource.key());
        stale.map_or(0, |stale| *stale.borrow())
    }

    /// All objects of this resource are about to be listed.
    pub fn begin_list(&self, resource: &Resource) {
        *self.lock().lists.entry(resource.key()).or_default() += 1;
    }

    /// All were; what was not among them is gone.
    pub fn end_list(&self, resource: &Resource) {
        let resource = resource.key();
        let mut known = self.lock();
        let list = known.list(&resource);
        let of_it = format!("{resource}/");
        let gone: Vec<_> = known
            .facts
            .iter()
            .filter(|(key, fact)| fact.list < list && key.starts_with(&of_it))
            .map(|(key, _)| key.clone())
            .collect();
        for key in gone {
            self.drop_fact(&mut known, &key);
        }
    }

    /// An object is gone.
    pub fn forget(&self, resource: &Resource, object: &Value) {
        let key = key_of(&resource.key(), object);
        self.drop_fact(&mut self.lock(), &key);
    }

    fn drop_fact(&self, known: &mut Known, key: &str) {
        if known.facts.remove(key).is_some() {
            self.tell_askers(known, key);
        }
    }

    fn tell_askers(&self, known: &Known, key: &str) {
        for asker in known.askers.get(key).into_iter().flatten() {
            if let Some(stale) = self.stale.get(asker) {
                stale.send_modify(|epoch| *epoch += 1);
            }
        }
    }

    /// The charge of an object, by its dialect. Admission lets in none that cannot be read, and nothing starts from it: one that
    /// was stored unseen costs what its status says that its pods hold.
    pub fn charge(&self, resource: &Resource, object: &Value) -> MilliCpu {
        let Some(dialect) = dialect_for_resource(&resource.group, &resource.plural) else {
            return MilliCpu::ZERO;
        };
        let resource = resource.key();
        if let Some(facts) = dialect.facts(object) {
            self.learn(&resource, object, &facts);
        }
        let asking = Asking {
            facts: self,
            resource: &resource,
        };
        sluice_policy::admit::charge(dialect, object, &asking)
    }

    /// The Apache operator's configuration is now this one. Charges of kinds that it may have a say in are computed anew.
    pub fn configure(&self, operator: Option<Value>) {
        {
            let mut known = self.lock();
            if known.operator.as_deref() == operator.as_ref() {
                return;
            }
            known.operator = operator.map(Arc::new);
        }
        for (resource, stale) in &self.stale {
            if !resource.ends_with(sluice_api::GROUP) {
                stale.send_modify(|epoch| *epoch += 1);
            }
        }
    }

    fn learn(&self, resource: &str, object: &Value, facts: &Value) {
        let key = key_of(resource, object);
        let text = facts.to_string();
        let mut known = self.lock();
        let list = known.list(resource);
        if let Some(fact) = known.facts.get_mut(&key)
            && fact.text == text
        {
            fact.list = list;
            return;
        }
        self.tell_askers(&known, &key);
        known.facts.insert(key, Fact { text, list });
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The world as a charge sees it: facts, and nothing else.
struct Asking<'a> {
    facts: &'a Facts,
    resource: &'a str,
}

impl World for Asking<'_> {
    fn modes(&self, _namespace: &str) -> Modes {
        Modes::default()
    }

    fn defaults(&self, _namespace: &str) -> Vec<Layer> {
        Vec::new()
    }

    fn environments(&self, _namespace: &str) -> Vec<Layer> {
        Vec::new()
    }

    fn lookup(&self, kind: &KindInfo, namespace: &str, name: &str) -> Lookup {
        let key = key(&format!("{}.{}", kind.plural, kind.group), namespace, name);
        let mut known = self.facts.lock();
        let facts = known
            .facts
            .get(&key)
            .and_then(|fact| serde_json::from_str(&fact.text).ok());
        known
            .askers
            .entry(key)
            .or_default()
            .insert(self.resource.to_owned());
        facts.map_or(Lookup::Unknown, |facts: Value| {
            Lookup::Found(Arc::new(facts))
        })
    }

    fn lookup_uid(&self, _kind: &KindInfo, _namespace: &str, _uid: &str) -> Lookup {
        Lookup::Unknown
    }

    fn namespace_labels(&self, _namespace: &str) -> Option<Arc<Value>> {
        None
    }

    fn operator_configuration(&self) -> Option<Arc<Value>> {
        self.facts.lock().operator.clone()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ledger::dialects::resources;

    fn find(key: &str) -> Resource {
        resources()
            .into_iter()
            .find(|resource| resource.key() == key)
            .unwrap()
    }

    #[test]
    fn a_session_jobs_charge_follows_the_cluster_it_runs_on() {
        let facts = Facts::of(&resources());
        let jobs = find("flinksessionjobs.flink.apache.org");
        let clusters = find("flinkdeployments.flink.apache.org");
        let stale = facts.stale(&jobs).unwrap();
        let job = json!({"apiVersion": "flink.apache.org/v1beta1", "kind": "FlinkSessionJob",
            "metadata": {"name": "j", "namespace": "n"},
            "spec": {"deploymentName": "c", "job": {"jarURI": "https://example.com/a.jar", "parallelism": 3, "state": "running"}}});
        let cluster = |cpu: u32| {
            json!({"apiVersion": "flink.apache.org/v1beta1", "kind": "FlinkDeployment",
            "metadata": {"name": "c", "namespace": "n"},
            "spec": {"flinkVersion": "v1_20", "serviceAccount": "flink",
                "jobManager": {"resource": {"memory": "2048m", "cpu": 1}},
                "taskManager": {"resource": {"memory": "2048m", "cpu": cpu}}}})
        };
        assert_eq!(facts.charge(&jobs, &job), MilliCpu(3000), "Flink's default");
        assert!(!stale.has_changed().unwrap());
        assert_eq!(facts.charge(&clusters, &cluster(4)), MilliCpu(1000));
        assert!(stale.has_changed().unwrap(), "the jobs are listed anew");
        assert_eq!(facts.charge(&jobs, &job), MilliCpu(12_000));
        let stale = facts.stale(&jobs).unwrap();
        facts.charge(&clusters, &cluster(4));
        assert!(!stale.has_changed().unwrap(), "nothing has changed");
        facts.charge(&clusters, &cluster(5));
        assert!(stale.has_changed().unwrap());
    }

    #[test]
    fn what_is_deleted_is_forgotten_whether_it_was_seen_or_only_missed() {
        let facts = Facts::of(&resources());
        let jobs = find("flinksessionjobs.flink.apache.org");
        let clusters = find("flinkdeployments.flink.apache.org");
        let job = json!({"apiVersion": "flink.apache.org/v1beta1", "kind": "FlinkSessionJob",
            "metadata": {"name": "j", "namespace": "n"},
            "spec": {"deploymentName": "c", "job": {"jarURI": "https://example.com/a.jar", "parallelism": 3, "state": "running"}}});
        let cluster = json!({"apiVersion": "flink.apache.org/v1beta1", "kind": "FlinkDeployment",
            "metadata": {"name": "c", "namespace": "n"},
            "spec": {"flinkVersion": "v1_20", "serviceAccount": "flink", "jobManager": {},
                "taskManager": {"resource": {"memory": "2048m", "cpu": 4}}}});
        let by_event = || facts.forget(&clusters, &cluster);
        let by_list = || {
            facts.begin_list(&clusters);
            facts.end_list(&clusters);
        };
        for vanish in [&by_event as &dyn Fn(), &by_list] {
            facts.begin_list(&clusters);
            facts.charge(&clusters, &cluster);
            facts.end_list(&clusters);
            assert_eq!(facts.charge(&jobs, &job), MilliCpu(12_000));
            let epoch = facts.epoch(&jobs);
            vanish();
            assert!(facts.epoch(&jobs) > epoch, "the jobs are listed anew");
            assert_eq!(
                facts.charge(&jobs, &job),
                MilliCpu(3000),
                "as the webhook charges it"
            );
        }
        facts.begin_list(&clusters);
        facts.charge(&clusters, &cluster);
        facts.end_list(&clusters);
        let epoch = facts.epoch(&jobs);
        facts.begin_list(&clusters);
        facts.charge(&clusters, &cluster);
        facts.end_list(&clusters);
        assert_eq!(facts.epoch(&jobs), epoch, "the same again makes no work");
    }

    #[test]
    fn the_operators_configuration_has_its_say_and_its_change_makes_charges_stale() {
        let facts = Facts::of(&resources());
        let clusters = find("flinkdeployments.flink.apache.org");
        let application = json!({"apiVersion": "flink.apache.org/v1beta1", "kind": "FlinkDeployment",
            "metadata": {"name": "a", "namespace": "n"},
            "spec": {"flinkVersion": "v1_20", "serviceAccount": "flink", "jobManager": {}, "taskManager": {},
                "job": {"jarURI": "local:///a.jar", "parallelism": 4, "state": "running"}}});
        assert_eq!(facts.charge(&clusters, &application), MilliCpu(5000));
        let stale = facts.stale(&clusters).unwrap();
        let own = facts.stale(&find("sessionclusters.sluice.dev")).unwrap();
        facts.configure(Some(json!({"kubernetes.taskmanager.cpu.amount": "0.5"})));
        assert!(stale.has_changed().unwrap() && !own.has_changed().unwrap());
        assert_eq!(facts.charge(&clusters, &application), MilliCpu(3000));
        let stale = facts.stale(&clusters).unwrap();
        facts.configure(Some(json!({"kubernetes.taskmanager.cpu.amount": "0.5"})));
        assert!(!stale.has_changed().unwrap(), "nothing has changed");
        facts.configure(None);
        assert_eq!(facts.charge(&clusters, &application), MilliCpu(5000));
    }

    #[test]
    fn a_cluster_that_nobody_asks_for_makes_no_work() {
        let facts = Facts::of(&resources());
        let stale = facts
            .stale(&find("flinksessionjobs.flink.apache.org"))
            .unwrap();
        facts.charge(
            &find("flinkdeployments.flink.apache.org"),
            &json!({"metadata": {"name": "c", "namespace": "n"}, "spec": {"flinkVersion": "v1_20"}}),
        );
        assert!(!stale.has_changed().unwrap());
    }
}
