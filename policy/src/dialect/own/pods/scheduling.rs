//! Tolerations and pull secrets.

use super::{readable, refuse, text};
use crate::dialect::own::at::At;
use crate::dialect::own::check::Judge;
use crate::finding::CauseReason;
use k8s_openapi::api::core::v1::Toleration;
use serde_json::Value;

/// Judges `tolerations`.
pub(super) fn tolerations(tolerations: &[Value], at: &At<'_>, judge: &mut Judge<'_>) {
    for (index, toleration) in tolerations.iter().enumerate() {
        let at = at.index(index);
        let operator = text(toleration, "operator").unwrap_or("Equal");
        let effect = text(toleration, "effect").unwrap_or_default();
        if !matches!(operator, "Equal" | "Exists") {
            refuse(
                &at.key("operator"),
                CauseReason::NotSupported,
                "must be Equal or Exists",
                judge,
            );
        } else if operator == "Exists" && text(toleration, "value").is_some_and(|v| !v.is_empty()) {
            refuse(
                &at.key("value"),
                CauseReason::Invalid,
                "must be left out where operator is Exists",
                judge,
            );
        } else if operator == "Equal" && text(toleration, "key").is_none_or(str::is_empty) {
            refuse(
                &at.key("key"),
                CauseReason::Required,
                "is needed unless operator is Exists",
                judge,
            );
        }
        if !matches!(effect, "" | "NoSchedule" | "PreferNoSchedule" | "NoExecute") {
            refuse(
                &at.key("effect"),
                CauseReason::NotSupported,
                "must be NoSchedule, PreferNoSchedule or NoExecute",
                judge,
            );
        }
        if toleration
            .get("tolerationSeconds")
            .is_some_and(|s| !s.is_null())
            && effect != "NoExecute"
        {
            refuse(
                &at.key("tolerationSeconds"),
                CauseReason::Invalid,
                "needs effect NoExecute",
                judge,
            );
        }
        readable::<Toleration>(toleration, &at, judge);
    }
}

/// Judges `imagePullSecrets`.
pub(super) fn pull_secrets(secrets: &[Value], at: &At<'_>, judge: &mut Judge<'_>) {
    for (index, secret) in secrets.iter().enumerate() {
        if secret.is_object() && text(secret, "name").is_none_or(str::is_empty) {
            refuse(
                &at.index(index).key("name"),
                CauseReason::Required,
                "needs the name of a Secret",
                judge,
            );
        }
    }
}
