//! Around a Deployment: where its pods go, and whether the quota ledger covers them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use kube::api::Api;
use kube::runtime::reflector::Store;
use sluice_api::conditions::types;
use sluice_api::names::labels;
use sluice_api::{Deployment, DeploymentTarget, DesiredState};
use sluice_policy::ledger::Revision;
use sluice_policy::world::EmptyWorld;
use sluice_policy::{MilliCpu, Mode, dialect_for};
use tokio::time::Instant;

use crate::ledger::standing::{Answer, Asker};
use crate::runtime::conditions;
use crate::session_cluster::gate::{self, Claim, Verdict};
use crate::session_cluster::target::{self, Target};

/// The ledger's name of the resource.
const RESOURCE: &str = "deployments.sluice.dev";
/// How long a namespace's labels are remembered while something waits for them.
const LABELS: Duration = Duration::from_secs(5);

/// Labels of a namespace; `None`: there is no such namespace.
type Labels = Option<BTreeMap<String, String>>;

/// What is known of the surroundings.
pub struct Place {
    client: kube::Client,
    targets: Store<DeploymentTarget>,
    deployments: Store<Deployment>,
    ledger: Option<Asker>,
    labels: Mutex<HashMap<String, (Instant, Labels)>>,
    granted: Mutex<HashMap<String, Instant>>,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place").finish_non_exhaustive()
    }
}

/// CPU that it needs while it runs, by the very function that admission and the ledger use.
pub fn demand(deployment: &Deployment) -> Result<MilliCpu, String> {
    let object = serde_json::to_value(deployment).map_err(|error| error.to_string())?;
    let dialect = dialect_for(sluice_api::GROUP, "Deployment")
        .ok_or_else(|| "Deployment is no kind of this version".to_owned())?;
    let workload = dialect.workload(&object, &EmptyWorld);
    workload.map(|workload| workload.demand).map_err(|causes| {
        let causes: Vec<String> = causes
            .iter()
            .map(|cause| format!("{}: {}", cause.field, cause.message))
            .collect();
        causes.join("; ")
    })
}

/// CPU that the status says its pods have or may have.
pub fn held(deployment: &Deployment) -> MilliCpu {
    let status = deployment.status.as_ref();
    let milli = status.and_then(|status| status.allocated_milli);
    MilliCpu(
        milli
            .and_then(|milli| u64::try_from(milli).ok())
            .unwrap_or_default(),
    )
}

impl Place {
    /// `ledger`: asks the second gate; `None`: there is none.
    pub fn new(
        client: kube::Client,
        targets: Store<DeploymentTarget>,
        deployments: Store<Deployment>,
        ledger: Option<Asker>,
    ) -> Self {
        Self {
            client,
            targets,
            deployments,
            ledger,
            labels: Mutex::default(),
            granted: Mutex::default(),
        }
    }

    /// Where the next run's pods go.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn target(&self, deployment: &Deployment) -> kube::Result<Target> {
        let own = deployment.namespace().unwrap_or_default();
        let spec = &deployment.spec;
        let targets = self.targets.state();
        let mut mine = targets
            .iter()
            .filter(|target| target.namespace().as_deref() == Some(own.as_str()));
        let name = spec
            .deployment_target_name
            .as_deref()
            .filter(|name| !name.is_empty());
        let id = spec
            .deployment_target_id
            .as_deref()
            .filter(|id| !id.is_empty());
        let resolved = match (name, id) {
            (None, Some(id)) => match mine.find(|target| target.uid().as_deref() == Some(id)) {
                Some(found) => Target::At(found.spec.kubernetes.namespace.clone()),
                None => Target::Missing(format!(
                    "there is no DeploymentTarget with metadata.uid {id} in namespace {own}; name one that is there (spec.deploymentTargetId)"
                )),
            },
            (name, _) => {
                let wanted = name.unwrap_or("default");
                let found = mine.find(|target| target.name_any() == wanted);
                let namespace = found.map(|found| found.spec.kubernetes.namespace.as_str());
                target::resolve(&own, name, namespace)
            }
        };
        match resolved {
            Target::At(namespace) if namespace != own => {
                let labels = self.namespace_labels(&namespace).await?;
                Ok(target::accepted(&namespace, &own, labels.as_ref()))
            }
            resolved => Ok(resolved),
        }
    }

    async fn namespace_labels(&self, namespace: &str) -> kube::Result<Labels> {
        let lock = || self.labels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, labels)) = lock().get(namespace)
            && at.elapsed() < LABELS
        {
            return Ok(labels.clone());
        }
        let api: Api<Namespace> = Api::all(self.client.clone());
        let found = api.get_opt(namespace).await?;
        let labels = found.map(|namespace| namespace.metadata.labels.unwrap_or_default());
        let mut known = lock();
        known.retain(|_, (at, _)| at.elapsed() < LABELS);
        known.insert(namespace.to_owned(), (Instant::now(), labels.clone()));
        Ok(labels)
    }

    /// Whether the ledger covers what the Deployment asks for.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn gate(&self, deployment: &Deployment, demand: MilliCpu) -> kube::Result<Verdict> {
        let Some(ledger) = &self.ledger else {
            return Ok(Verdict::Open);
        };
        let namespace = deployment.namespace().unwrap_or_default();
        let uid = deployment.uid().unwrap_or_default();
        let version = deployment.resource_version().unwrap_or_default();
        let revision = Revision::parse(&version).unwrap_or_default();
        let verdict = match ledger.ask(RESOURCE, &namespace, &uid, revision).await {
            Answer::NotYet => Verdict::NotCounted("the quotas have not been read yet".to_owned()),
            Answer::Quotas(standings) => {
                // One at a time: who is let in here is seen by the next one, before any status says so.
                let mut granted = self.granted.lock().unwrap_or_else(PoisonError::into_inner);
                granted.retain(|_, since| since.elapsed() < Duration::from_secs(10));
                let waiting = if gate::is_crowded(&standings) {
                    self.waiting(&granted)
                } else {
                    Vec::new()
                };
                let verdict = gate::judge(&claim(deployment, demand), &standings, &waiting);
                if verdict == Verdict::Open {
                    granted.insert(uid, Instant::now());
                }
                verdict
            }
        };
        if matches!(verdict, Verdict::Refused(_)) {
            let labels = self.namespace_labels(&namespace).await?;
            let mode = labels.and_then(|labels| Mode::parse(labels.get(labels::MODE_QUOTA)?));
            if mode.is_some_and(|mode| mode != Mode::Enforce) {
                return Ok(Verdict::Open);
            }
        }
        Ok(verdict)
    }

    /// All that ask to run and have not been started.
    fn waiting(&self, granted: &HashMap<String, Instant>) -> Vec<Claim> {
        let all = self.deployments.state();
        all.iter()
            .filter(|deployment| {
                deployment.spec.state == Some(DesiredState::Running)
                    && deployment.metadata.deletion_timestamp.is_none()
                    && held(deployment) == MilliCpu::ZERO
                    && !granted.contains_key(&deployment.uid().unwrap_or_default())
            })
            .filter_map(|deployment| Some(claim(deployment, demand(deployment).ok()?)))
            .collect()
    }
}

fn claim(deployment: &Deployment, demand: MilliCpu) -> Claim {
    let conditions = deployment.status.as_ref().map(|status| &status.conditions);
    let refused = conditions.and_then(|all| {
        conditions::get(all, types::QUOTA_EXCEEDED)
            .filter(|condition| condition.status == conditions::Truth::True.word())
    });
    let created = deployment.metadata.creation_timestamp.as_ref();
    Claim {
        uid: deployment.uid().unwrap_or_default(),
        namespace: deployment.namespace().unwrap_or_default(),
        allocated: held(deployment),
        demand,
        refused_since: refused.map(|condition| condition.last_transition_time.0),
        created: created.map_or(jiff::Timestamp::MIN, |time| time.0),
    }
}
