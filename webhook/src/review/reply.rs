//! A verdict to bytes. The HTTP status is always 200: what is refused is refused inside.

use super::request::{API_VERSION, KIND};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use json_patch::PatchOperation;
use serde::Serialize;
use sluice_policy::finding::one_line;
use sluice_policy::{Cause, Code, Refusal};

/// What a reply is about, for `status.details`: kubectl prints `The SessionCluster "analytics" is invalid: ...` of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Subject<'a> {
    /// API group.
    pub group: &'a str,
    /// Kind.
    pub kind: &'a str,
    /// Name.
    pub name: &'a str,
}

/// The answer to one review.
#[derive(Debug, Default)]
pub struct Reply<'a> {
    /// The review's uid.
    pub uid: &'a str,
    /// What it is about.
    pub subject: Subject<'a>,
    /// Why it is refused; `None`: allowed.
    pub refusal: Option<&'a Refusal>,
    /// Changes to the object; only where it is allowed.
    pub patch: &'a [PatchOperation],
    /// Warnings, shaped here to what the API server passes on.
    pub warnings: &'a [String],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    api_version: &'static str,
    kind: &'static str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct Status<'a> {
    #[serde(rename = "status")]
    outcome: &'static str,
    message: &'a str,
    reason: &'static str,
    code: u16,
    details: Details<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Details<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    group: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    kind: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    causes: Vec<CauseOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_seconds: Option<u32>,
}

#[derive(Serialize)]
struct CauseOut {
    reason: &'static str,
    message: String,
    field: String,
}

impl Reply<'_> {
    /// The reply as JSON.
    pub fn encode(&self) -> Vec<u8> {
        let patch = (self.refusal.is_none() && !self.patch.is_empty())
            .then(|| serde_json::to_vec(self.patch).ok())
            .flatten();
        let envelope = Envelope {
            api_version: API_VERSION,
            kind: KIND,
            response: Response {
                uid: self.uid,
                allowed: self.refusal.is_none(),
                status: self.refusal.map(|refusal| self.status(refusal)),
                patch_type: patch.is_some().then_some("JSONPatch"),
                patch: patch.map(|patch| STANDARD.encode(patch)),
                warnings: shaped(self.warnings),
            },
        };
        // Plain data with text keys; the fallback keeps a serialiser's mistake from becoming a panic or an empty
        // body: the API server reads it as a failed call and goes by the failurePolicy.
        serde_json::to_vec(&envelope).unwrap_or_else(|_| b"{}".to_vec())
    }

    fn status<'s>(&'s self, refusal: &'s Refusal) -> Status<'s> {
        let mut causes: Vec<CauseOut> = refusal.causes.iter().map(cause_out).collect();
        if causes.is_empty() && refusal.code == Code::Invalid {
            // For these kubectl prints the causes and nothing else.
            causes.push(CauseOut {
                reason: "FieldValueInvalid",
                message: refusal.message.clone(),
                field: String::new(),
            });
        }
        Status {
            outcome: "Failure",
            message: &refusal.message,
            reason: refusal.code.reason(),
            code: refusal.code.number(),
            details: Details {
                name: self.subject.name,
                group: self.subject.group,
                kind: self.subject.kind,
                causes,
                retry_after_seconds: refusal.retry_after,
            },
        }
    }
}

fn cause_out(cause: &Cause) -> CauseOut {
    CauseOut {
        reason: cause.reason.word(),
        message: cause.full_message(),
        field: cause.field.to_string(),
    }
}

/// One line each, under 256 characters, none twice, none empty.
fn shaped(warnings: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::with_capacity(warnings.len());
    for warning in warnings {
        let line = one_line(warning);
        if !line.is_empty() && !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines
}
