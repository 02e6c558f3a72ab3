//! The policies that `sluice export vap` prints, where somebody has installed them: an upgrade of Sluice does not bring them along.

use super::policy::{does_as_much, judgement};
use super::stored::same;
use super::{Found, Place};
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use kube::{Api, ResourceExt};
use sluice_webhook::registration::{Address, Registration, guard::backstop};

const EXPORT: &str = "sluice export vap | kubectl apply --server-side --force-conflicts -f - (with the --namespace and --exclude it was \
                      exported with)";

/// Whether what is there of the backstop is whole and of this version. Nothing of it is well, too.
pub(super) async fn backstop(place: &Place<'_>) -> Found {
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(place.live.client.clone());
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(place.live.client.clone());
    // Which namespaces are left out was the exporter's choice, and is not compared.
    let registration = Registration {
        address: Address::Url(String::new()),
        excluded_namespaces: Vec::new(),
    };
    let (mut missing, mut stale, mut there) = (Vec::new(), Vec::new(), 0);
    for (policy, of_policy) in backstop::policies(&registration) {
        let name = policy.name_any();
        match policies.get_opt(&name).await {
            Ok(Some(stored)) if same(&judgement(&stored), &judgement(&policy)) => there += 1,
            Ok(Some(_)) => {
                there += 1;
                stale.push(format!("ValidatingAdmissionPolicy {name}"));
            }
            Ok(None) => missing.push(format!("ValidatingAdmissionPolicy {name}")),
            Err(error) => return Found::unread(&format!("reading {name}"), &error),
        }
        for binding in of_policy {
            let name = binding.name_any();
            match bindings.get_opt(&name).await {
                Ok(Some(stored)) => {
                    there += 1;
                    // Nothing of it is the exporter's choice.
                    if !does_as_much(&stored, &binding) {
                        stale.push(format!("ValidatingAdmissionPolicyBinding {name}"));
                    }
                }
                Ok(None) => missing.push(format!("ValidatingAdmissionPolicyBinding {name}")),
                Err(error) => return Found::unread(&format!("reading {name}"), &error),
            }
        }
    }
    if there == 0 {
        return Found::Well("none is installed (sluice export vap)".to_owned());
    }
    if !stale.is_empty() {
        return Found::wrong(
            format!(
                "of the backstop is not what this version of Sluice has: {}",
                stale.join(", ")
            ),
            EXPORT,
        );
    }
    if !missing.is_empty() {
        return Found::wrong(
            format!("of the backstop is missing: {}", missing.join(", ")),
            EXPORT,
        );
    }
    Found::Well("running session clusters stay frozen with no webhook".to_owned())
}
