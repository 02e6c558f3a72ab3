//! The way to the second gate: asks the keeper how an object stands, then whether its turn has come, and heeds the namespace's mode.

use kube::{Resource, ResourceExt};
use serde::Serialize;
use sluice_api::names::labels;
use sluice_policy::ledger::Revision;
use sluice_policy::{MilliCpu, Mode};

use super::claim::Claim;
use super::gate::Verdict;
use super::standing::{Answer, Asker};
use crate::runtime::namespaces::Namespaces;

/// The second gate, for the objects of one resource.
#[derive(Clone, Debug)]
pub struct Door {
    resource: &'static str,
    ledger: Option<Asker>,
    namespaces: Namespaces,
}

impl Door {
    /// For this resource (`plural.group`). `ledger`: `None` means that there is no second gate.
    pub const fn new(
        resource: &'static str,
        ledger: Option<Asker>,
        namespaces: Namespaces,
    ) -> Self {
        Self {
            resource,
            ledger,
            namespaces,
        }
    }

    /// Whether every quota covers what an object asks for.
    ///
    /// # Errors
    /// What the API server says of the namespace.
    pub async fn ask<K: Resource + Serialize>(
        &self,
        object: &K,
        allocated: MilliCpu,
        demand: MilliCpu,
    ) -> kube::Result<Verdict> {
        let Some(ledger) = &self.ledger else {
            return Ok(Verdict::Open);
        };
        let claim = Claim::new(object, allocated, demand);
        let version = object.resource_version().unwrap_or_default();
        let revision = Revision::parse(&version).unwrap_or_default();
        let answer = ledger
            .ask(self.resource, &claim.namespace, &claim.uid, revision)
            .await;
        let verdict = match answer {
            Answer::NotYet => Verdict::NotCounted("the quotas have not been read yet".to_owned()),
            Answer::Quotas(standings) => ledger.queue().judge(&claim, &standings),
        };
        if matches!(verdict, Verdict::Refused(_)) {
            let found = self.namespaces.labels(&claim.namespace).await?;
            let mode = found.and_then(|found| Mode::parse(found.get(labels::MODE_QUOTA)?));
            if mode.is_some_and(|mode| mode != Mode::Enforce) {
                return Ok(Verdict::Open);
            }
        }
        Ok(verdict)
    }

    /// What an object was let in for did not come about.
    pub fn withdraw(&self, uid: &str) {
        if let Some(ledger) = &self.ledger {
            ledger.queue().withdraw(uid);
        }
    }
}
