//! Around a Deployment: where its pods go, and whether the quota ledger covers them.

use kube::ResourceExt;
use kube::runtime::reflector::Store;
use sluice_api::{Deployment, DeploymentTarget};
use sluice_policy::MilliCpu;

use crate::ledger::claim::{waiting_in, workload};
use crate::ledger::door::Door;
use crate::ledger::gate::Verdict;
use crate::ledger::standing::Asker;
use crate::runtime::namespaces::Namespaces;
use crate::session_cluster::target::{self, Target};

/// Of the objects that are seen to.
const KIND: &str = "Deployment";
/// The ledger's name of the resource.
const RESOURCE: &str = "deployments.sluice.dev";

/// What is known of the surroundings.
pub struct Place {
    targets: Store<DeploymentTarget>,
    namespaces: Namespaces,
    door: Door,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place").finish_non_exhaustive()
    }
}

/// CPU that it needs while it runs.
///
/// # Errors
/// Each field that cannot be read, and why.
pub fn demand(deployment: &Deployment) -> Result<MilliCpu, String> {
    workload(deployment, KIND).map(|workload| workload.demand)
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
        let namespaces = Namespaces::new(client);
        if let Some(ledger) = &ledger {
            ledger.queue().join(RESOURCE, waiting_in(deployments, KIND));
        }
        Self {
            targets,
            door: Door::new(RESOURCE, ledger, namespaces.clone()),
            namespaces,
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
                let labels = self.namespaces.labels(&namespace).await?;
                Ok(target::accepted(&namespace, &own, labels.as_ref()))
            }
            resolved => Ok(resolved),
        }
    }

    /// Whether the ledger covers what the Deployment asks for.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn gate(&self, deployment: &Deployment, demand: MilliCpu) -> kube::Result<Verdict> {
        self.door.ask(deployment, held(deployment), demand).await
    }
}
