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

    /// Makes every webhook in it trust this bundle (PEM) and answers with the bundles as they are stored now, one
    /// for each webhook; `None` if the configuration does not exist (yet). Writes only if something differs.
    pub async fn reconcile(
        &self,
        client: &kube::Client,
        bundle: &str,
    ) -> Result<Option<Vec<String>>, Error> {
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &self.kind.resource());
        let Some(stored) = api
            .get_opt(&self.name)
            .await
            .map_err(|source| Error::api("reading", self.what(), source))?
        else {
            return Ok(None);
        };
        let held = entries(&stored.data);
        if held.iter().all(|(_, held)| held == bundle) {
            return Ok(Some(held.into_iter().map(|(_, held)| held).collect()));
        }
        let names: Vec<&str> = held.iter().map(|(name, _)| name.as_str()).collect();
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let patched = api
            .patch(
                &self.name,
                &params,
                &Patch::Apply(self.document(&names, bundle)),
            )
            .await
            .map_err(|source| Error::api("applying the caBundle of", self.what(), source))?;
        tracing::info!(configuration = %self.what(), "caBundle applied");
        Ok(Some(
            entries(&patched.data)
                .into_iter()
                .map(|(_, held)| held)
                .collect(),
        ))
    }

    fn document(&self, webhooks: &[&str], bundle: &str) -> Value {
        let encoded = STANDARD.encode(bundle);
        let webhooks: Vec<Value> = webhooks
            .iter()
            .map(|name| json!({"name": name, "clientConfig": {"caBundle": encoded}}))
            .collect();
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": self.kind.kind(),
            "metadata": {"name": self.name},
            "webhooks": webhooks,
        })
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
