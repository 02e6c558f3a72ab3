//! The Secret with the CAs: read through the API, written by compare-and-swap, so that any number of replicas that start or step
//! on at once end up with one CA. Whoever loses the race reads what the winner wrote.

use crate::authority::BACKDATE;
use crate::error::Error;
use crate::generations::Generations;
use crate::rotation::Request;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, GetParams, PostParams};
use kube::client::Body;
use kube::core::Request as Ask;
use std::collections::BTreeMap;

/// Annotation of the Secret by which somebody asks for another CA: `now` or `distrust`, see [`Request`].
pub const ROTATE: &str = "sluice.dev/rotate-ca";

/// By whom the Secret's fields are written.
const FIELD_MANAGER: &str = "sluice-certs";

/// Where the CAs are kept.
#[derive(Clone, Debug)]
pub struct CaStore {
    api: Api<Secret>,
    namespace: String,
    name: String,
}

/// What was read.
#[derive(Debug)]
pub enum Read {
    /// There is no Secret.
    Missing,
    /// It cannot be used; the error says why.
    Unusable(Box<Secret>, Error),
    /// The CAs.
    Found(Box<Found>),
}

/// CAs as they were read.
#[derive(Debug)]
pub struct Found {
    /// The CAs.
    pub generations: Generations,
    /// When they were written, by the API server's clock.
    pub written: Option<Timestamp>,
    /// What somebody asks for.
    pub request: Option<Request>,
    secret: Secret,
}

/// What others have written on the Secret. It tells helm and others whose it is: who finds it made anew without that refuses it.
#[derive(Clone, Debug)]
pub struct Marks {
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
}

impl Found {
    /// What others have written on it, without what was asked of this one.
    pub fn marks(&self) -> Marks {
        let metadata = &self.secret.metadata;
        let mut annotations = metadata.annotations.clone();
        if let Some(annotations) = &mut annotations {
            annotations.remove(ROTATE);
        }
        Marks {
            labels: metadata.labels.clone(),
            annotations,
        }
    }
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

    /// Its resource and name, for whoever watches it.
    pub fn api(&self) -> (Api<Secret>, &str) {
        (self.api.clone(), &self.name)
    }

    /// What the Secret holds now.
    ///
    /// # Errors
    /// The API server refused or did not answer.
    pub async fn read(&self) -> Result<Read, Error> {
        let stored = self
            .api
            .get_opt(&self.name)
            .await
            .map_err(|source| Error::api("reading", self.what(), source))?;
        let Some(secret) = stored else {
            return Ok(Read::Missing);
        };
        let empty = BTreeMap::new();
        let data = secret.data.as_ref().unwrap_or(&empty);
        Ok(match Generations::read(&self.what(), data) {
            Ok(generations) => Read::Found(Box::new(Found {
                generations,
                written: written(&secret),
                request: self.request(&secret),
                secret,
            })),
            Err(error) => Read::Unusable(Box::new(secret), error),
        })
    }

    /// By which time the Secret is written: the API server's where our own is further from it than a CA is backdated, else our own.
    ///
    /// # Errors
    /// The API server did not answer.
    pub async fn time(&self, ours: Timestamp) -> Result<Timestamp, Error> {
        let failed = |source| Error::api("asking for the time with", self.what(), source);
        let question = Ask::new(self.api.resource_url())
            .get(&self.name, &GetParams::default())
            .map_err(|error| failed(kube::Error::BuildRequest(error)))?;
        let client = self.api.clone().into_client();
        let answer = client
            .send(question.map(Body::from))
            .await
            .map_err(failed)?;
        // Every answer carries it, also one that refuses.
        let date = answer.headers().get("date");
        let theirs = date
            .and_then(|date| jiff::fmt::rfc2822::parse(date.to_str().ok()?).ok())
            .map(|date| date.timestamp());
        let apart = |theirs: &Timestamp| theirs.duration_since(ours).abs() > BACKDATE;
        Ok(theirs.filter(apart).unwrap_or(ours))
    }

    /// Makes the Secret, with the labels and annotations of the one before, if that is known. Whether it was written; if not, there is one
    /// by now.
    ///
    /// # Errors
    /// The API server refused or did not answer.
    pub async fn create(&self, wanted: &Generations, marks: Option<Marks>) -> Result<bool, Error> {
        let Marks {
            labels,
            annotations,
        } = marks.unwrap_or_else(|| Marks {
            labels: Some(BTreeMap::from([(
                "app.kubernetes.io/managed-by".to_owned(),
                "sluice".to_owned(),
            )])),
            annotations: None,
        });
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                namespace: Some(self.namespace.clone()),
                labels,
                annotations,
                ..ObjectMeta::default()
            },
            type_: Some("sluice.dev/ca".to_owned()),
            data: Some(wanted.data()),
            ..Secret::default()
        };
        let written = self.api.create(&params(), &secret).await;
        self.outcome(written.map(drop), &[409])
    }

    /// Replaces what was read; a request that has been followed goes. Whether it was written; if not, somebody else was first.
    ///
    /// # Errors
    /// The API server refused or did not answer.
    pub async fn replace(
        &self,
        found: Found,
        wanted: &Generations,
        answers: bool,
    ) -> Result<bool, Error> {
        let mut secret = found.secret;
        if answers && let Some(annotations) = &mut secret.metadata.annotations {
            annotations.remove(ROTATE);
        }
        self.put(secret, wanted).await
    }

    /// Replaces what cannot be used. Whether it was written; if not, somebody else was first.
    ///
    /// # Errors
    /// The API server refused or did not answer.
    pub async fn repair(&self, broken: Secret, wanted: &Generations) -> Result<bool, Error> {
        self.put(broken, wanted).await
    }

    /// The resourceVersion that was read goes along.
    async fn put(&self, mut secret: Secret, wanted: &Generations) -> Result<bool, Error> {
        secret.data = Some(wanted.data());
        let written = self.api.replace(&self.name, &params(), &secret).await;
        self.outcome(written.map(drop), &[409, 404]) // it moved on, or was deleted meanwhile
    }

    fn outcome(&self, written: Result<(), kube::Error>, lost_race: &[u16]) -> Result<bool, Error> {
        match written {
            Ok(()) => Ok(true),
            Err(kube::Error::Api(status)) if lost_race.contains(&status.code) => Ok(false),
            Err(source) => Err(Error::api("writing", self.what(), source)),
        }
    }

    fn request(&self, secret: &Secret) -> Option<Request> {
        let value = secret.metadata.annotations.as_ref()?.get(ROTATE)?;
        let request = Request::parse(value);
        if request.is_none() {
            tracing::warn!(secret = %self.what(), annotation = ROTATE, %value, "nothing is done; give now or distrust");
        }
        request
    }
}

fn params() -> PostParams {
    PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    }
}

/// When we last wrote it. The API server notes that by its own clock.
fn written(secret: &Secret) -> Option<Timestamp> {
    let managed = secret.metadata.managed_fields.iter().flatten();
    managed
        .filter(|entry| entry.manager.as_deref() == Some(FIELD_MANAGER))
        .filter_map(|entry| Some(entry.time.as_ref()?.0))
        .max()
}
