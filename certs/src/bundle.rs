//! The `caBundle` of the webhook configurations: written by server-side apply under a field manager of its own, so
//! that whoever owns the rest (a chart, a Git repository, `sluice up`) never sees a difference; and read back.

use crate::error::Error;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

/// The field manager that owns `caBundle`, and nothing else.
pub const FIELD_MANAGER: &str = "sluice-certs";

/// Which of the two kinds of webhook configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetKind {
    /// `MutatingWebhookConfiguration`.
    Mutating,
    /// `ValidatingWebhookConfiguration`.
    Validating,
}

impl TargetKind {
    fn kind(self) -> &'static str {
        match self {
            TargetKind::Mutating => "MutatingWebhookConfiguration",
            TargetKind::Validating => "ValidatingWebhookConfiguration",
        }
    }

    fn resource(self) -> ApiResource {
        let plural = match self {
            TargetKind::Mutating => "mutatingwebhookconfigurations",
            TargetKind::Validating => "validatingwebhookconfigurations",
        };
        ApiResource {
            group: "admissionregistration.k8s.io".to_owned(),
            version: "v1".to_owned(),
            api_version: "admissionregistration.k8s.io/v1".to_owned(),
            kind: self.kind().to_owned(),
            plural: plural.to_owned(),
        }
    }
}

/// One webhook configuration whose `caBundle` is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its kind.
    pub kind: TargetKind,
    /// Its name.
    pub name: String,
}

impl Target {
    /// `ValidatingWebhookConfiguration sluice`, for messages.
    pub fn what(&self) -> String {
        format!("{} {}", self.kind.kind(), self.name)
    }

    /// What it holds; `None` if it does not exist (yet).
    ///
    /// # Errors
    /// The API server refused or did not answer.
    pub async fn read(&self, client: &kube::Client) -> Result<Option<Held>, Error> {
        let stored = self
            .api(client)
            .get_opt(&self.name)
            .await
            .map_err(|source| Error::api("reading", self.what(), source))?;
        Ok(stored.as_ref().map(Held::of))
    }

    /// Makes every webhook in it trust this bundle (PEM) and answers with what is stored then. Writes only if something differs,
    /// and only if nobody else has written since it was read: else `None`, so that whoever read the CAs before somebody else
    /// wrote newer ones cannot put the older ones back.
    ///
    /// # Errors
    /// The API server refused or did not answer.
    pub async fn trust(
        &self,
        client: &kube::Client,
        held: Held,
        bundle: &str,
    ) -> Result<Option<Held>, Error> {
        if held.webhooks.iter().all(|(_, held)| held == bundle) {
            return Ok(Some(held));
        }
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let document = Patch::Apply(self.document(&held, bundle));
        match self.api(client).patch(&self.name, &params, &document).await {
            Ok(patched) => {
                tracing::info!(configuration = %self.what(), "caBundle applied");
                Ok(Some(Held::of(&patched)))
            }
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
            Err(source) => Err(Error::api("applying the caBundle of", self.what(), source)),
        }
    }

    /// Its resource, for whoever watches it.
    pub fn api(&self, client: &kube::Client) -> Api<DynamicObject> {
        Api::all_with(client.clone(), &self.kind.resource())
    }

    fn document(&self, held: &Held, bundle: &str) -> Value {
        let encoded = STANDARD.encode(bundle);
        let webhooks: Vec<Value> = held
            .webhooks
            .iter()
            .map(|(name, _)| json!({"name": name, "clientConfig": {"caBundle": encoded}}))
            .collect();
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": self.kind.kind(),
            "metadata": {"name": self.name, "resourceVersion": held.resource_version},
            "webhooks": webhooks,
        })
    }
}

/// A configuration as it was read: its webhooks and what each trusts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    resource_version: Option<String>,
    webhooks: Vec<(String, String)>,
}

impl Held {
    fn of(stored: &DynamicObject) -> Self {
        Self {
            resource_version: stored.metadata.resource_version.clone(),
            webhooks: entries(&stored.data),
        }
    }

    /// The bundle (PEM) of each webhook.
    pub fn bundles(&self) -> impl Iterator<Item = &str> {
        self.webhooks.iter().map(|(_, bundle)| bundle.as_str())
    }
}

/// Name and bundle (PEM; empty if none or unreadable) of each webhook.
fn entries(configuration: &Value) -> Vec<(String, String)> {
    let webhooks = configuration.get("webhooks").and_then(Value::as_array);
    webhooks
        .into_iter()
        .flatten()
        .filter_map(|webhook| {
            let name = webhook.get("name")?.as_str()?.to_owned();
            let bundle = webhook
                .pointer("/clientConfig/caBundle")
                .and_then(Value::as_str)
                .and_then(|encoded| STANDARD.decode(encoded).ok())
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .unwrap_or_default();
            Some((name, bundle))
        })
        .collect()
}
