//! The hand on made objects: reads past every cache, server-side apply, deletion. Each write is told apart from none, and
//! nothing that belongs to somebody else is ever taken.

use kube::Client;
use kube::api::{
    Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, Preconditions,
    PropagationPolicy,
};
use serde_json::json;
use sluice_api::names::{field_managers, labels};

use super::cover::covers;
use super::made::{Made, digest};
use crate::objects::names::selector_text;
use crate::objects::{Built, MadeKind};

/// Objects per page of a list.
const PAGE: u32 = 100;

/// Why an object could not be made or removed.
#[derive(Debug, thiserror::Error)]
pub enum HandError {
    /// An object of that name was not made for this owner.
    #[error(
        "{kind} {namespace}/{name} exists and belongs to {owner}; remove it, or give one of the two another name"
    )]
    NameTaken {
        /// The object's kind.
        kind: MadeKind,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Whose it is, as far as it says.
        owner: String,
    },
    /// What stands under a Flink's id may be another Flink of that id.
    #[error(
        "{kind} {namespace}/{id} stands, and a Flink of that name keeps its high availability where this one would; remove it, or give \
         one of the two another name"
    )]
    FlinkIdTaken {
        /// The kind of what stands there.
        kind: &'static str,
        /// Its namespace.
        namespace: String,
        /// The id, which is its name.
        id: String,
    },
    /// One of that name is still being deleted.
    #[error("{kind} {namespace}/{name} is still being deleted")]
    BeingDeleted {
        /// The object's kind.
        kind: MadeKind,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// The API server refuses it.
    #[error("{kind} {namespace}/{name} is refused: {message}")]
    Refused {
        /// The object's kind.
        kind: MadeKind,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// The API server's words.
        message: String,
    },
    /// The call failed.
    #[error("{kind} {namespace}/{name}: {source}")]
    Call {
        /// The object's kind.
        kind: MadeKind,
        /// Its namespace.
        namespace: String,
        /// Its name, or what was looked for.
        name: String,
        /// What went wrong.
        source: Box<kube::Error>,
    },
}

/// An object that is as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ensured {
    /// Its uid.
    pub uid: String,
    /// Digest of what is stored.
    pub digest: u64,
    /// Whether it had to be written for that.
    pub written: Written,
}

/// Whether an object was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It stood there already.
    No,
    /// It was.
    Yes,
}

impl Ensured {
    fn of(stored: &DynamicObject, written: Written) -> Self {
        Self {
            uid: stored.metadata.uid.clone().unwrap_or_default(),
            digest: digest(stored),
            written,
        }
    }
}

/// Reads and writes made objects.
#[derive(Clone)]
pub struct Hand {
    pub(super) client: Client,
}

impl std::fmt::Debug for Hand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hand")
    }
}

impl Hand {
    /// With this client's rights.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    pub(super) fn api(&self, kind: MadeKind, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &kind.resource())
    }

    /// Makes sure that an object is stored as it should be.
    pub async fn ensure(&self, wanted: &Built) -> Result<Ensured, HandError> {
        let api = self.api(wanted.kind, &wanted.namespace);
        let call =
            |source: kube::Error| failed(wanted.kind, &wanted.namespace, &wanted.name, source);
        if let Some(stored) = api.get_opt(&wanted.name).await.map_err(call)? {
            may_take(wanted, &stored)?;
            let all = serde_json::to_value(&stored).unwrap_or_default();
            if covers(&all, &wanted.object) {
                return Ok(Ensured::of(&stored, Written::No));
            }
        }
        let params = PatchParams::apply(field_managers::CONTROLLER).force();
        let stored = api
            .patch(&wanted.name, &params, &Patch::Apply(&wanted.object))
            .await
            .map_err(call)?;
        Ok(Ensured::of(&stored, Written::Yes))
    }

    /// Sets the number of pods of a Deployment, and nothing else of it.
    pub async fn scale(&self, made: &Made, replicas: u32) -> Result<(), HandError> {
        let api = self.api(made.kind, &made.namespace);
        let params = PatchParams {
            field_manager: Some(field_managers::CONTROLLER.to_owned()),
            ..PatchParams::default()
        };
        let patch = json!({"metadata": {"uid": made.uid}, "spec": {"replicas": replicas}});
        match api.patch(&made.name, &params, &Patch::Merge(&patch)).await {
            Ok(_) => Ok(()),
            // Gone, or another one by now: the watch tells.
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
            Err(source) => Err(failed(made.kind, &made.namespace, &made.name, source)),
        }
    }

    /// Deletes an object, and what it owns before it.
    pub async fn delete(&self, made: &Made) -> Result<(), HandError> {
        let api = self.api(made.kind, &made.namespace);
        let params = DeleteParams {
            // So a Deployment that is gone has no pods left.
            propagation_policy: Some(PropagationPolicy::Foreground),
            preconditions: Some(Preconditions {
                uid: Some(made.uid.clone()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        match api.delete(&made.name, &params).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
            Err(source) => Err(failed(made.kind, &made.namespace, &made.name, source)),
        }
    }

    /// Everything that was made for an owner and lies in these namespaces, read past every cache.
    pub async fn read_all(&self, uid: &str, namespaces: &[String]) -> Result<Vec<Made>, HandError> {
        let selector = selector_text(uid, None);
        let mut all = Vec::new();
        for namespace in namespaces {
            for kind in MadeKind::MADE.into_iter().chain([MadeKind::Pod]) {
                let api = self.api(kind, namespace);
                let mut params = ListParams::default().labels(&selector).limit(PAGE);
                loop {
                    let list = match api.list(&params).await {
                        Ok(list) => list,
                        // A namespace that is gone has nothing in it.
                        Err(kube::Error::Api(status)) if status.code == 404 => break,
                        Err(source) => return Err(failed(kind, namespace, "*", source)),
                    };
                    all.extend(
                        list.items
                            .iter()
                            .filter_map(|object| Made::read(kind, object).map(|(_, made)| made)),
                    );
                    match list.metadata.continue_.filter(|next| !next.is_empty()) {
                        Some(next) => params = params.continue_token(&next),
                        None => break,
                    }
                }
            }
        }
        Ok(all)
    }
}

/// Whether an object of the wanted name was made for the same owner.
fn may_take(wanted: &Built, stored: &DynamicObject) -> Result<(), HandError> {
    let place = || (wanted.kind, wanted.namespace.clone(), wanted.name.clone());
    if stored.metadata.deletion_timestamp.is_some() {
        let (kind, namespace, name) = place();
        return Err(HandError::BeingDeleted {
            kind,
            namespace,
            name,
        });
    }
    let label = |key: &str| {
        let labels = stored.metadata.labels.as_ref();
        labels
            .and_then(|labels| labels.get(key))
            .map(String::as_str)
    };
    let uid = |pointer: &str| wanted.object.pointer(pointer).and_then(|uid| uid.as_str());
    let ours = uid("/metadata/labels/sluice.dev~1owner-uid");
    if ours.is_some() && label(labels::OWNER_UID) == ours {
        let run = uid("/metadata/labels/sluice.dev~1job");
        if label(labels::JOB) == run {
            return Ok(());
        }
        // Of another run of the same owner: it has to go first.
        let (kind, namespace, name) = place();
        return Err(HandError::BeingDeleted {
            kind,
            namespace,
            name,
        });
    }
    let owner = match (
        label(labels::OWNER_KIND),
        label(labels::OWNER_NAMESPACE),
        label(labels::OWNER_NAME),
    ) {
        (Some(kind), Some(namespace), Some(name)) => format!("{kind} {namespace}/{name}"),
        _ => "somebody else".to_owned(),
    };
    let (kind, namespace, name) = place();
    Err(HandError::NameTaken {
        kind,
        namespace,
        name,
        owner,
    })
}

pub(super) fn failed(
    kind: MadeKind,
    namespace: &str,
    name: &str,
    source: kube::Error,
) -> HandError {
    let (namespace, name) = (namespace.to_owned(), name.to_owned());
    match source {
        // What the API server means to refuse; 409 and 429 pass by themselves.
        kube::Error::Api(status) if matches!(status.code, 400 | 403 | 404 | 413 | 422) => {
            HandError::Refused {
                kind,
                namespace,
                name,
                message: status.message.clone(),
            }
        }
        source => HandError::Call {
            kind,
            namespace,
            name,
            source: Box::new(source),
        },
    }
}
