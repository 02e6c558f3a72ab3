//! The Secret with the CA: read through the API, written by compare-and-swap, so that any number of replicas that
//! start at once end up with one CA. Whoever loses the race reads what the winner wrote.

use crate::error::Error;
use crate::generations::Generations;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, PostParams};
use std::collections::BTreeMap;

/// Attempts at one tick before the next tick tries again.
const ATTEMPTS: u32 = 8;

/// Where the CA is kept.
#[derive(Clone, Debug)]
pub struct CaStore {
    api: Api<Secret>,
    namespace: String,
    name: String,
}

impl CaStore {
    /// The Secret of this name in this namespace.
    pub fn new(client: kube::Client, namespace: &str, name: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// `Secret sluice-system/sluice-ca`, for messages.
    pub fn what(&self) -> String {
        format!("Secret {}/{}", self.namespace, self.name)
    }

    /// The CAs that all replicas share: what the Secret holds; made if it holds none; replaced, keeping the old one
    /// trusted, if the CA nears its end; made anew if what is there cannot be read.
    pub async fn ensure(&self, now: Timestamp) -> Result<Generations, Error> {
        for _ in 0..ATTEMPTS {
            let stored = self
                .api
                .get_opt(&self.name)
                .await
                .map_err(|source| Error::api("reading", self.what(), source))?;
            let outcome = match stored {
                None => self.create(Generations::first(now)?).await?,
                Some(secret) => {
                    let data = secret.data.clone().unwrap_or_default();
                    match Generations::read(&self.what(), &data) {
                        Ok(held) if held.current.is_ending(now) => {
                            tracing::info!(not_after = %held.current.not_after(), "CA nears its end; making its successor");
                            self.replace(secret, held.successor(now)?).await?
                        }
                        Ok(held) => return Ok(held),
                        Err(error) => {
                            tracing::warn!(%error, "CA cannot be used; making a new one");
                            self.replace(secret, Generations::first(now)?).await?
                        }
                    }
                }
            };
            if let Some(written) = outcome {
                return Ok(written);
            }
        }
        Err(Error::Contended(self.what(), ATTEMPTS))
    }

    /// `None`: somebody else was first.
    async fn create(&self, wanted: Generations) -> Result<Option<Generations>, Error> {
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                namespace: Some(self.namespace.clone()),
                labels: Some(BTreeMap::from([(
                    "app.kubernetes.io/managed-by".to_owned(),
                    "sluice".to_owned(),
                )])),
                ..ObjectMeta::default()
            },
            type_: Some("sluice.dev/ca".to_owned()),
            data: Some(wanted.data()),
            ..Secret::default()
        };
        let written = self.api.create(&PostParams::default(), &secret).await;
        self.outcome(wanted, written.map(drop), &[409]) // it exists by now
    }

    /// `None`: the Secret changed since it was read. The resourceVersion that was read goes along.
    async fn replace(
        &self,
        mut secret: Secret,
        wanted: Generations,
    ) -> Result<Option<Generations>, Error> {
        secret.data = Some(wanted.data());
        let written = self
            .api
            .replace(&self.name, &PostParams::default(), &secret)
            .await;
        self.outcome(wanted, written.map(drop), &[409, 404]) // it moved on, or was deleted meanwhile
    }

    fn outcome(
        &self,
        wanted: Generations,
        written: Result<(), kube::Error>,
        lost_race: &[u16],
    ) -> Result<Option<Generations>, Error> {
        match written {
            Ok(()) => Ok(Some(wanted)),
            Err(kube::Error::Api(status)) if lost_race.contains(&status.code) => Ok(None),
            Err(source) => Err(Error::api("writing", self.what(), source)),
        }
    }
}
