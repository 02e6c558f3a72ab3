//! Has one API server ask every replica. It keeps one HTTP/2 connection to a webhook's address, so behind one address one replica would
//! be asked everything for minutes; several API servers would ask several. Here each replica gets an entry with an address of its
//! own, and a share of what is created: by the prefix of the name, which is there before the name is.

use crate::objects;
use crate::plane::Plane;
use anyhow::Context as _;
use hyper::body::Bytes;
use kube::api::{Api, ApiResource, DynamicObject, PostParams};
use serde_json::{Value, json};

/// An object to be created about which the replica with this number is asked.
pub fn body(share: usize) -> Bytes {
    let mut object = objects::to_create(1536);
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("generateName".to_owned(), prefix(share).into());
    }
    Bytes::from(object.to_string())
}

/// Gives each of so many replicas its entries in both registrations.
pub async fn over(plane: &Plane, replicas: usize) -> anyhow::Result<()> {
    for (kind, plural) in [
        (
            "MutatingWebhookConfiguration",
            "mutatingwebhookconfigurations",
        ),
        (
            "ValidatingWebhookConfiguration",
            "validatingwebhookconfigurations",
        ),
    ] {
        let resource = ApiResource {
            group: "admissionregistration.k8s.io".to_owned(),
            version: "v1".to_owned(),
            api_version: "admissionregistration.k8s.io/v1".to_owned(),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
        };
        let api: Api<DynamicObject> = Api::all_with(plane.client.clone(), &resource);
        let mut stored = api.get("sluice").await?;
        let entries = stored
            .data
            .get_mut("webhooks")
            .and_then(Value::as_array_mut)
            .context("a webhook configuration without webhooks")?;
        let mut spread = Vec::new();
        for entry in &*entries {
            for share in 0..replicas {
                let address = plane.webhook_address(share)?;
                spread.push(of_share(entry, share, replicas, &address)?);
            }
        }
        *entries = spread;
        api.replace("sluice", &PostParams::default(), &stored)
            .await?;
    }
    Ok(())
}

/// The registered entry, for one replica.
fn of_share(entry: &Value, share: usize, shares: usize, address: &str) -> anyhow::Result<Value> {
    let mut entry = entry.clone();
    let text = |pointer: &str| {
        let found = entry.pointer(pointer).and_then(Value::as_str);
        Ok::<_, anyhow::Error>(found.context("an entry by URL")?.to_owned())
    };
    let (name, url) = (text("/name")?, text("/clientConfig/url")?);
    let path = url.rsplit('/').next().unwrap_or_default();
    let (name, url) = (
        format!("share-{share}.{name}"),
        format!("https://{address}/{path}"),
    );
    let entry_of = entry.as_object_mut().context("an entry that is no map")?;
    entry_of.insert("name".to_owned(), name.into());
    if let Some(way) = entry_of
        .get_mut("clientConfig")
        .and_then(Value::as_object_mut)
    {
        way.insert("url".to_owned(), url.into());
    }
    let conditions = entry_of
        .entry("matchConditions")
        .or_insert_with(|| json!([]));
    if let Some(conditions) = conditions.as_array_mut() {
        conditions.push(json!({"name": "share", "expression": condition(share, shares)}));
    }
    Ok(entry)
}

/// The first takes everything that has no share, quotas and deletes among it.
fn condition(share: usize, shares: usize) -> String {
    let is_of = |share: usize| {
        format!(
            "object != null && has(object.metadata.generateName) && object.metadata.generateName == '{}'",
            prefix(share)
        )
    };
    if share > 0 {
        return is_of(share);
    }
    let others: Vec<String> = (1..shares)
        .map(|other| format!("!({})", is_of(other)))
        .collect();
    if others.is_empty() {
        return "true".to_owned();
    }
    others.join(" && ")
}

fn prefix(share: usize) -> String {
    format!("clickstream-{share}-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_leads_to_its_replica_and_keeps_its_path() {
        let entry = json!({
            "name": "validate.sluice.dev", "matchConditions": [{"name": "theirs", "expression": "true"}],
            "clientConfig": {"url": "https://127.0.0.1:1/validate", "caBundle": "x"},
        });
        let made = of_share(&entry, 1, 2, "127.0.0.1:7").unwrap();
        assert_eq!(made["name"], "share-1.validate.sluice.dev");
        assert_eq!(made["clientConfig"]["url"], "https://127.0.0.1:7/validate");
        assert_eq!(made["clientConfig"]["caBundle"], "x");
        assert_eq!(made["matchConditions"][0]["name"], "theirs");
        let expression = made["matchConditions"][1]["expression"].as_str().unwrap();
        assert!(expression.ends_with("== 'clickstream-1-'"));
        assert_eq!(condition(0, 2), format!("!({expression})"));
        assert!(String::from_utf8_lossy(&body(1)).contains("\"clickstream-1-\""));
    }
}
