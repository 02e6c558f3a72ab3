//! Whether the API server accepts the certificate that webhooks serve, and until when. Who is to mend it depends on who makes it:
//! `tls.mode` of the chart is read from what stands in the cluster.

use super::running::{Endpoint, endpoints, handshake};
use super::tls::Handshake;
use super::{Found, Place, arguments};
use crate::emergency::BOTH;
use crate::manifests::NAME;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::Api;

/// Leaves are renewed two days and more before they end.
const ENDS_SOON: SignedDuration = SignedDuration::from_hours(24);

/// By which cert-manager's cainjector knows the objects whose `caBundle` it writes.
const INJECTED: &str = "cert-manager.io/inject-ca-from";

/// Who makes the webhooks' certificate and writes the caBundle.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Maker {
    /// The webhook itself.
    Own,
    /// cert-manager, by the Certificate of this `NAMESPACE/NAME`.
    CertManager(String),
    /// Whoever installed it, in files.
    Files,
    /// It cannot be seen from here.
    Unseen,
}

/// Whether the bundles accept what is served, and for how long.
pub(super) async fn certificate(place: &Place<'_>) -> Found {
    let endpoints = match endpoints(place).await {
        Ok(endpoints) => endpoints,
        Err(found) => return found,
    };
    let mut first: Option<Timestamp> = None;
    for endpoint in &endpoints {
        match one(endpoint).await {
            Ok(Some(ends)) => first = Some(first.map_or(ends, |first| first.min(ends))),
            Ok(None) => {}
            Err(what) => return Found::wrong(what, maker(place).await.remedy(place.namespace)),
        }
    }
    match first {
        Some(ends) => Found::Well(format!("verifies against both caBundles; ends {ends:.0}")),
        None => Found::Unseen("no endpoint can be reached from here".to_owned()),
    }
}

/// When the certificate of an endpoint ends, if it can be reached; the error is what is wrong with it.
async fn one(endpoint: &Endpoint) -> Result<Option<Timestamp>, String> {
    let Endpoint {
        registration,
        host,
        port,
        name,
        bundle,
        ..
    } = endpoint;
    if bundle.is_empty() {
        return Err(format!(
            "{registration} has no caBundle: the API server trusts nobody"
        ));
    }
    match handshake(endpoint).await {
        Handshake::Verified(ends) if ends.duration_since(Timestamp::now()) < ENDS_SOON => {
            Err(format!(
                "the certificate that is served at {host}:{port} ends at {ends}, and was not renewed"
            ))
        }
        Handshake::Verified(ends) => Ok(Some(ends)),
        Handshake::Refused(why) => Err(format!(
            "the caBundle of {registration} does not accept what is served at {host}:{port} for {name}: {why}"
        )),
        Handshake::Silent(_) => Ok(None),
    }
}

/// What the chart's values have left in the cluster.
async fn maker(place: &Place<'_>) -> Maker {
    for registration in BOTH {
        if let Ok(Some(stored)) = registration.read(place.live).await
            && let Some(from) = stored
                .metadata
                .annotations
                .as_ref()
                .and_then(|all| all.get(INJECTED))
        {
            return Maker::CertManager(from.clone());
        }
    }
    let deployments: Api<Deployment> = Api::namespaced(place.live.client.clone(), place.namespace);
    match deployments.get_opt(NAME).await {
        Ok(Some(deployment)) if takes_files(&deployment) => Maker::Files,
        // Without a Deployment it runs outside, as `sluice up` starts it.
        Ok(_) => Maker::Own,
        Err(_) => Maker::Unseen,
    }
}

fn takes_files(deployment: &Deployment) -> bool {
    arguments(deployment)
        .flatten()
        .any(|arg| arg.starts_with("--tls-cert"))
}

impl Maker {
    fn remedy(&self, namespace: &str) -> String {
        let log = format!("kubectl -n {namespace} logs deployment/{NAME} -c webhook");
        match self {
            Maker::Own => {
                format!("the webhook writes the caBundle itself, at once; if this lasts: {log}")
            }
            Maker::CertManager(certificate) => {
                let (namespace, name) = certificate
                    .split_once('/')
                    .unwrap_or((namespace, certificate.as_str()));
                format!(
                    "cert-manager makes the certificate and its cainjector writes the caBundle; see what they say: kubectl -n {namespace} \
                     describe certificate {name}"
                )
            }
            Maker::Files => format!(
                "with tls.mode=secret certificate and caBundle are yours to make: put a leaf into the Secret that tls.secret.name names, \
                 and the CA that signed it into the bundle: helm upgrade with --set-file tls.secret.caBundle=ca.pem. What the webhook \
                 read: {log}"
            ),
            Maker::Unseen => format!(
                "with tls.mode=self the webhook writes the caBundle itself, at once; with certManager or secret somebody else has to: \
                 docs/certificates.md. What the webhook says: {log}"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_webhook_that_is_given_files_is_known_by_its_arguments() {
        let deployment = |arg: &str| -> Deployment {
            serde_json::from_value(
                json!({"spec": {"selector": {}, "template": {"spec": {"containers": [
                {"name": "webhook", "args": ["webhook", arg]}, {"name": "controller"}]}}}}),
            )
            .unwrap()
        };
        assert!(takes_files(&deployment(
            "--tls-cert=/etc/sluice/tls/tls.crt"
        )));
        assert!(!takes_files(&deployment("--ca-dwell=600")));
    }
}
