//! What answers: webhooks, the quotas that the controller counts, and admission as a whole. The webhooks' certificate is in
//! `certificate`, the controller itself in `controller`.

use super::tls::{Handshake, shake};
use super::{Found, Place};
use crate::emergency::BOTH;
use crate::live::canary::{self, Answer};
use crate::manifests::{LEASE, NAME};
use crate::up::trouble;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use serde_json::Value;
use sluice_api::quota::{ClusterCpuQuota, CpuQuota, QuotaStatus};
use sluice_policy::ledger::CHARGE_FN;

/// One address where a registration points.
pub(super) struct Endpoint {
    pub registration: String,
    pub host: String,
    pub port: u16,
    /// The name in the certificate.
    pub name: String,
    pub bundle: Vec<u8>,
    /// Whether it is a pod's address, which may be out of reach from here.
    is_pod: bool,
}

/// Where both registrations point, or what is wrong with that.
pub(super) async fn endpoints(place: &Place<'_>) -> Result<Vec<Endpoint>, Found> {
    let mut all = Vec::new();
    for registration in BOTH {
        let stored = match registration.read(place.live).await {
            Ok(Some(stored)) => stored,
            Ok(None) => {
                return Err(Found::wrong(
                    format!("{registration} is not there"),
                    "install it",
                ));
            }
            Err(failure) => return Err(Found::Unseen(failure.to_string())),
        };
        let webhooks = stored.data.get("webhooks").and_then(Value::as_array);
        for webhook in webhooks.into_iter().flatten() {
            let text = |pointer: &str| webhook.pointer(pointer).and_then(Value::as_str);
            let bundle = webhook
                .pointer("/clientConfig/caBundle")
                .and_then(|value| serde_json::from_value::<ByteString>(value.clone()).ok())
                .unwrap_or_default()
                .0;
            let to = |host: &str, port: u16, name: &str, is_pod: bool| Endpoint {
                registration: registration.to_string(),
                host: host.to_owned(),
                port,
                name: name.to_owned(),
                bundle: bundle.clone(),
                is_pod,
            };
            if let Some(url) = text("/clientConfig/url") {
                let Some((host, port)) = split(url) else {
                    return Err(Found::wrong(
                        format!("{registration}: clientConfig.url {url} cannot be read"),
                        "give https://HOST:PORT",
                    ));
                };
                all.push(to(&host, port, &host, false));
                continue;
            }
            let namespace = text("/clientConfig/service/namespace").unwrap_or_default();
            let service = text("/clientConfig/service/name").unwrap_or_default();
            let name = format!("{service}.{namespace}.svc");
            for (host, port) in ready(place, namespace, service).await? {
                all.push(to(&host, port, &name, true));
            }
        }
    }
    Ok(all)
}

/// Host and port of `https://HOST[:PORT][/PATH]`.
fn split(url: &str) -> Option<(String, u16)> {
    let rest = url.strip_prefix("https://")?;
    let authority = rest.split('/').next().unwrap_or(rest);
    let (host, port) = match authority.rsplit_once(':') {
        // The colons of an IPv6 address stand in brackets.
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok()?),
        _ => (authority, 443),
    };
    Some((host.trim_matches(['[', ']']).to_owned(), port))
}

/// Addresses of the pods that are ready, or why there is none.
async fn ready(
    place: &Place<'_>,
    namespace: &str,
    service: &str,
) -> Result<Vec<(String, u16)>, Found> {
    let slices: Api<EndpointSlice> = Api::namespaced(place.live.client.clone(), namespace);
    let of = ListParams::default().labels(&format!("kubernetes.io/service-name={service}"));
    let slices = slices.list(&of).await.map_err(|error| {
        Found::unread(
            &format!("the endpoints of Service {namespace}/{service}"),
            &error,
        )
    })?;
    let mut found = Vec::new();
    for slice in slices {
        let port = slice
            .ports
            .iter()
            .flatten()
            .find(|port| port.name.as_deref() == Some("webhook"))
            .and_then(|port| u16::try_from(port.port?).ok());
        for endpoint in slice.endpoints {
            let is_ready = endpoint
                .conditions
                .as_ref()
                .and_then(|conditions| conditions.ready)
                .unwrap_or(true);
            if let (true, Some(port)) = (is_ready, port) {
                found.extend(endpoint.addresses.into_iter().map(|host| (host, port)));
            }
        }
    }
    if !found.is_empty() {
        return Ok(found);
    }
    let (what, remedy) = no_pod(place, namespace).await;
    Err(Found::wrong(
        format!("no pod is ready behind Service {namespace}/{service}: {what}"),
        remedy,
    ))
}

/// Why no pod is ready.
async fn no_pod(place: &Place<'_>, namespace: &str) -> (String, String) {
    let pods: Api<Pod> = Api::namespaced(place.live.client.clone(), namespace);
    let ours = ListParams::default().labels(&format!("app.kubernetes.io/name={NAME}"));
    let logs = format!(
        "kubectl -n {namespace} logs deployment/{NAME} -c webhook; until then: sluice emergency open"
    );
    match pods.list(&ours).await {
        Err(error) => (error.to_string(), logs),
        Ok(pods) => match pods.iter().max_by_key(|pod| pod.creation_timestamp()) {
            None => (
                "there is no pod".to_owned(),
                format!("kubectl -n {namespace} describe deployment/{NAME}"),
            ),
            Some(pod) => (
                format!(
                    "pod {}: {}",
                    pod.name_any(),
                    trouble(pod).unwrap_or_else(|| "it is not ready yet".to_owned())
                ),
                logs,
            ),
        },
    }
}

/// Whether somebody answers where the registrations point.
pub(super) async fn webhook(place: &Place<'_>) -> Found {
    let endpoints = match endpoints(place).await {
        Ok(endpoints) => endpoints,
        Err(found) => return found,
    };
    let mut reached = 0;
    for endpoint in &endpoints {
        let Endpoint {
            registration,
            host,
            port,
            ..
        } = endpoint;
        match handshake(endpoint).await {
            Handshake::Silent(why) if !endpoint.is_pod => {
                return Found::wrong(
                    format!("nobody answers at {host}:{port}, where {registration} points: {why}"),
                    "start the webhook there, or change webhook.url; until then: sluice emergency open",
                );
            }
            Handshake::Silent(_) => {}
            Handshake::Refused(_) | Handshake::Verified(_) => reached += 1,
        }
    }
    if reached == 0 {
        return Found::Unseen(format!(
            "{} endpoints are ready; pods' addresses cannot be reached from here, admission below tells",
            endpoints.len()
        ));
    }
    Found::Well(format!("{reached} of {} endpoints answer", endpoints.len()))
}

pub(super) async fn handshake(endpoint: &Endpoint) -> Handshake {
    shake(
        endpoint.host.clone(),
        endpoint.port,
        endpoint.name.clone(),
        endpoint.bundle.clone(),
    )
    .await
}

/// Whether every quota has been counted as it stands.
pub(super) async fn quotas(place: &Place<'_>) -> Found {
    let client = &place.live.client;
    let list = ListParams::default();
    let own = match Api::<CpuQuota>::all(client.clone()).list(&list).await {
        Ok(quotas) => quotas.items,
        Err(error) => return Found::unread("listing CpuQuotas", &error),
    };
    let shared = match Api::<ClusterCpuQuota>::all(client.clone())
        .list(&list)
        .await
    {
        Ok(quotas) => quotas.items,
        Err(error) => return Found::unread("listing ClusterCpuQuotas", &error),
    };
    let own = own.iter().map(|quota| {
        let name = format!(
            "CpuQuota {}/{}",
            quota.namespace().unwrap_or_default(),
            quota.name_any()
        );
        (name, quota.metadata.generation, quota.status.as_ref())
    });
    let shared = shared.iter().map(|quota| {
        let name = format!("ClusterCpuQuota {}", quota.name_any());
        (name, quota.metadata.generation, quota.status.as_ref())
    });
    let mut count = 0;
    for (name, generation, status) in own.chain(shared) {
        count += 1;
        if let Some(why) = uncounted(generation, status) {
            return Found::wrong(
                format!("{name} {why}: nothing can start against it"),
                format!(
                    "see whether the controller runs and what it says: kubectl -n {} logs deployment/{NAME} -c controller (or deployment/{LEASE})",
                    place.namespace
                ),
            );
        }
    }
    Found::Well(if count == 0 {
        "there are none: CPU is not limited".to_owned()
    } else {
        format!("{count} are counted")
    })
}

fn uncounted(generation: Option<i64>, status: Option<&QuotaStatus>) -> Option<String> {
    let status = match status {
        Some(status) if status.charge_fn.unwrap_or_default() > 0 => status,
        _ => return Some("has not been counted yet".to_owned()),
    };
    if status.charge_fn != Some(CHARGE_FN) {
        return Some(format!(
            "was counted by another version of Sluice (charge function {})",
            status.charge_fn.unwrap_or_default()
        ));
    }
    (status.observed_generation != generation)
        .then(|| "was changed and has not been counted since".to_owned())
}

/// Whether admission as a whole does what it should.
pub(super) async fn admission(place: &Place<'_>) -> Found {
    let namespace = place.tried_in;
    match canary::ask(&place.live.client, namespace).await {
        Answer::Gate => Found::Well(format!(
            "a short object is completed and a wrong one refused (dry-runs in {namespace})"
        )),
        Answer::Open => Found::wrong(
            format!("objects in namespace {namespace} are stored as they come: nobody is asked"),
            "see whether the namespace is left out by the registration's namespaceSelector; --in NAMESPACE tries another",
        ),
        Answer::Trouble(said) => Found::wrong(
            format!("a dry-run in namespace {namespace} was not answered as it should be: {said}"),
            "if it was not answered in time: see whether the API server reaches the webhook (firewall, NetworkPolicy); else the \
             message says what to do",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        for (url, host, port) in [
            ("https://127.0.0.1:9443/validate", "127.0.0.1", 9443),
            ("https://gate.example/validate", "gate.example", 443),
            ("https://[::1]:9443/validate", "::1", 9443),
            ("https://[::1]/validate", "::1", 443),
        ] {
            assert_eq!(split(url), Some((host.to_owned(), port)));
        }
        assert_eq!(split("http://a/"), None);
        assert_eq!(split("https://a:b/"), None);
    }
}
