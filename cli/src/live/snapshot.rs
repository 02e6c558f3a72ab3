//! Everything in a live cluster that decisions look at, as the offline gate reads it from files.

use super::failed;
use crate::exit::Failure;
use crate::input::Document;
use crate::operator::OperatorConfig;
use crate::yaml::Node;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, ListParams, TypeMeta};
use serde_json::Value;
use sluice_policy::dialect::{Scope, dialects};
use std::collections::BTreeSet;

/// Objects a page.
const PAGE: u32 = 500;

/// In which namespaces to look.
#[derive(Clone, Copy, Debug)]
pub enum Within<'a> {
    /// In this one.
    One(&'a str),
    /// In all.
    All,
    /// In all, and in these where that is forbidden.
    AllOrThese(&'a BTreeSet<String>),
}

/// What was read.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The objects.
    pub objects: Vec<Value>,
    /// What could not be read for want of a right.
    pub unseen: Vec<Unseen>,
    /// Resources that could be read in some namespaces only, though all were wanted.
    pub narrowed: Vec<String>,
}

/// A kind of which nothing was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unseen {
    /// Its plural.
    pub resource: String,
    /// What the API server said.
    pub said: String,
}

/// Reads one namespace, or all, and what lives beside all namespaces. What may not be read beside the namespaces, or of other people's
/// kinds, is left out and told: who lacks a right is answered 403 also where the kind is not installed at all.
///
/// # Errors
/// [`Failure::Unreachable`] if the API server does not answer, or refuses objects of Sluice's own kinds in a namespace.
pub async fn take(
    client: &Client,
    within: Within<'_>,
    operator: Option<&OperatorConfig>,
) -> Result<Snapshot, Failure> {
    let mut snapshot = Snapshot::default();
    let mut wanted: Vec<(ApiResource, Scope)> = dialects()
        .iter()
        .map(|dialect| {
            let kind = dialect.kind();
            let resource = resource(kind.group, kind.version, kind.kind, kind.plural);
            (resource, kind.scope)
        })
        .collect();
    wanted.push((
        resource("", "v1", "Namespace", "namespaces"),
        Scope::Cluster,
    ));
    for (resource, scope) in wanted {
        let plural = &resource.plural;
        let place = match within {
            Within::One(namespace) if scope == Scope::Namespaced => Some(namespace),
            _ => None,
        };
        let mut found = list(client, &resource, place).await;
        if let (Err(error), Within::AllOrThese(few), Scope::Namespaced) = (&found, within, scope)
            && is_forbidden(error)
        {
            found = list_in(client, &resource, few).await;
            if found.is_ok() {
                snapshot.narrowed.push(plural.clone());
            }
        }
        match found {
            Ok(objects) => snapshot.objects.extend(objects),
            // A cluster without this operator.
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(kube::Error::Api(status))
                if status.code == 403
                    && (scope == Scope::Cluster || resource.group != sluice_api::GROUP) =>
            {
                snapshot.unseen.push(Unseen {
                    resource: plural.clone(),
                    said: status.message.clone(),
                });
            }
            Err(error) => {
                let doing = match within {
                    Within::All if scope == Scope::Namespaced => {
                        format!("listing {plural} in all namespaces (-n NAMESPACE looks at one)")
                    }
                    _ => format!("listing {plural}"),
                };
                return Err(failed(&doing, &error));
            }
        }
    }
    if let Some(place) = operator {
        let maps = resource("", "v1", "ConfigMap", "configmaps");
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &place.namespace, &maps);
        let found = api
            .get_opt(&place.name)
            .await
            .map_err(|error| failed(&format!("--operator-config {place}"), &error))?;
        let found = found.ok_or_else(|| {
            Failure::Input(format!(
                "--operator-config {place}: there is no such ConfigMap"
            ))
        })?;
        let mut object = value(found, &maps);
        // The offline gate knows it by the name that the operator's own chart gives it.
        if let Some(name) = object.pointer_mut("/metadata/name") {
            *name = Value::from(sluice_policy::dialect::operator::CONFIG_MAP);
        }
        snapshot.objects.push(object);
    }
    Ok(snapshot)
}

impl Snapshot {
    /// Kinds of quotas of which nothing could be read; while there is one, nobody can say that CPU is not limited.
    pub fn unseen_quotas(&self) -> Vec<&str> {
        self.unseen
            .iter()
            .map(|unseen| unseen.resource.as_str())
            .filter(|resource| resource.ends_with("cpuquotas"))
            .collect()
    }

    /// As documents of a file, which messages call "the cluster".
    pub fn documents(&self) -> Vec<Document> {
        let file = "the cluster".into();
        self.objects
            .iter()
            .map(|object| Document {
                file: std::rc::Rc::clone(&file),
                root: Node::from(object),
            })
            .collect()
    }
}

fn resource(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
    let api_version = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version,
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    }
}

async fn list(
    client: &Client,
    resource: &ApiResource,
    namespace: Option<&str>,
) -> kube::Result<Vec<Value>> {
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
        None => Api::all_with(client.clone(), resource),
    };
    let mut params = ListParams::default().limit(PAGE);
    let mut all = Vec::new();
    loop {
        let page = api.list(&params).await?;
        all.extend(page.items.into_iter().map(|object| value(object, resource)));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(all),
        }
    }
}

/// The same in several namespaces.
async fn list_in(
    client: &Client,
    resource: &ApiResource,
    namespaces: &BTreeSet<String>,
) -> kube::Result<Vec<Value>> {
    let mut all = Vec::new();
    for namespace in namespaces {
        all.extend(list(client, resource, Some(namespace)).await?);
    }
    Ok(all)
}

fn is_forbidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 403)
}

/// Items of lists do not say what they are.
fn value(mut object: DynamicObject, resource: &ApiResource) -> Value {
    object.types = Some(TypeMeta {
        api_version: resource.api_version.clone(),
        kind: resource.kind.clone(),
    });
    object.metadata.managed_fields = None;
    serde_json::to_value(object).unwrap_or_default()
}

#[cfg(test)]
mod tests;
