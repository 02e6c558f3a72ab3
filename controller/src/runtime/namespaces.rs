//! Labels of namespaces: read when something asks for them, and remembered for a moment while it waits.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::Api;
use tokio::time::Instant;

/// How long labels are remembered.
const REMEMBERED: Duration = Duration::from_secs(5);

/// Labels of a namespace; `None`: there is no such namespace.
pub type Labels = Option<BTreeMap<String, String>>;

/// What is known of namespaces. Cheap to clone.
#[derive(Clone)]
pub struct Namespaces {
    client: Client,
    known: Arc<Mutex<HashMap<String, (Instant, Labels)>>>,
}

impl std::fmt::Debug for Namespaces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Namespaces").finish_non_exhaustive()
    }
}

impl Namespaces {
    /// Nothing known yet.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            known: Arc::default(),
        }
    }

    /// The labels of a namespace, at most 5 seconds old.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn labels(&self, namespace: &str) -> kube::Result<Labels> {
        let lock = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, labels)) = lock().get(namespace)
            && at.elapsed() < REMEMBERED
        {
            return Ok(labels.clone());
        }
        let api: Api<Namespace> = Api::all(self.client.clone());
        let found = api.get_opt(namespace).await?;
        let labels = found.map(|namespace| namespace.metadata.labels.unwrap_or_default());
        let mut known = lock();
        known.retain(|_, (at, _)| at.elapsed() < REMEMBERED);
        known.insert(namespace.to_owned(), (Instant::now(), labels.clone()));
        Ok(labels)
    }
}
