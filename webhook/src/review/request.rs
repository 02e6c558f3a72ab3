//! Bytes to a request, or to a refusal that still knows the uid.

use super::rules::{self, MALFORMED, TOO_LARGE};
use super::uid::UidFinder;
use super::values;
use serde::Deserialize;
use serde_json::Value;
use sluice_policy::{Refusal, json};
use std::borrow::Cow;

/// `apiVersion` of every review and reply.
pub const API_VERSION: &str = "admission.k8s.io/v1";

/// The only `kind`.
pub const KIND: &str = "AdmissionReview";

#[derive(Deserialize)]
#[serde(expecting = "an AdmissionReview")]
struct Envelope<'a> {
    #[serde(borrow, default, rename = "apiVersion")]
    api_version: Cow<'a, str>,
    #[serde(borrow, default)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    request: Option<Request<'a>>,
}

/// What is asked. Only what Sluice uses; other fields are passed over.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request<'a> {
    /// Names this call; the reply carries it back. Not the object's uid.
    #[serde(borrow, default)]
    pub uid: Cow<'a, str>,
    /// Kind of [`Request::object`]: `Scale` for `/scale`.
    #[serde(borrow, default)]
    pub kind: GroupKind<'a>,
    /// Resource of the request; of the parent for a subresource.
    #[serde(borrow, default)]
    pub resource: GroupResource<'a>,
    /// `scale`, `status` or empty.
    #[serde(borrow, default)]
    pub sub_resource: Cow<'a, str>,
    /// Name of the object; may be empty on a create with generateName.
    #[serde(borrow, default)]
    pub name: Cow<'a, str>,
    /// Namespace; empty for cluster-scoped kinds.
    #[serde(borrow, default)]
    pub namespace: Cow<'a, str>,
    /// `CREATE`, `UPDATE`, `DELETE`, `CONNECT`.
    #[serde(borrow, default)]
    pub operation: Cow<'a, str>,
    /// Whether nothing will be stored.
    #[serde(default)]
    pub dry_run: Option<bool>,
    /// Who asks.
    #[serde(borrow, default)]
    pub user_info: UserInfo<'a>,
    /// The object as sent; `null` on a delete.
    #[serde(default)]
    pub object: Value,
    /// The object as stored; `null` on a create.
    #[serde(default)]
    pub old_object: Value,
}

/// Group and kind.
#[derive(Debug, Default, Deserialize)]
pub struct GroupKind<'a> {
    /// API group.
    #[serde(borrow, default)]
    pub group: Cow<'a, str>,
    /// API version.
    #[serde(borrow, default)]
    pub version: Cow<'a, str>,
    /// Kind.
    #[serde(borrow, default)]
    pub kind: Cow<'a, str>,
}

/// Group and resource.
#[derive(Debug, Default, Deserialize)]
pub struct GroupResource<'a> {
    /// API group.
    #[serde(borrow, default)]
    pub group: Cow<'a, str>,
    /// Plural.
    #[serde(borrow, default)]
    pub resource: Cow<'a, str>,
}

/// Who asks.
#[derive(Debug, Default, Deserialize)]
pub struct UserInfo<'a> {
    /// The user's name.
    #[serde(borrow, default)]
    pub username: Cow<'a, str>,
}

impl Request<'_> {
    /// The same, without the bytes that it was read from.
    pub fn into_owned(self) -> Box<Request<'static>> {
        Box::new(Request {
            uid: owned(self.uid),
            kind: GroupKind {
                group: owned(self.kind.group),
                version: owned(self.kind.version),
                kind: owned(self.kind.kind),
            },
            resource: GroupResource {
                group: owned(self.resource.group),
                resource: owned(self.resource.resource),
            },
            sub_resource: owned(self.sub_resource),
            name: owned(self.name),
            namespace: owned(self.namespace),
            operation: owned(self.operation),
            dry_run: self.dry_run,
            user_info: UserInfo {
                username: owned(self.user_info.username),
            },
            object: self.object,
            old_object: self.old_object,
        })
    }

    /// How many bytes of text are still held of it when its objects are gone. Some hundred, unless somebody means harm.
    pub fn lasting(&self) -> usize {
        let own = [
            &self.uid,
            &self.kind.group,
            &self.kind.version,
            &self.kind.kind,
            &self.resource.group,
            &self.resource.resource,
            &self.sub_resource,
            &self.name,
            &self.namespace,
            &self.operation,
            &self.user_info.username,
        ];
        let own: usize = own.iter().map(|text| text.len()).sum();
        let of_objects = [&self.object, &self.old_object]
            .into_iter()
            .flat_map(|object| NAMING.map(|key| json::text(object, &["metadata", key])))
            .flatten()
            .map(str::len);
        own + of_objects.sum::<usize>()
    }
}

/// What of an object's metadata outlives it.
const NAMING: [&str; 4] = ["name", "generateName", "uid", "resourceVersion"];

fn owned(text: Cow<'_, str>) -> Cow<'static, str> {
    Cow::Owned(text.into_owned())
}

/// What became of the bytes.
#[derive(Debug)]
pub enum Parsed<'a> {
    /// A request that can be judged.
    Request(Box<Request<'a>>),
    /// Refused; the uid is what could be found of it, else empty.
    Refused {
        /// For the reply.
        uid: String,
        /// Why.
        refusal: Refusal,
    },
}

/// Whether a `Content-Type` is JSON's. Parameters such as `charset=utf-8` do not matter.
pub fn is_json(content_type: Option<&str>) -> bool {
    content_type
        .and_then(|value| value.split(';').next())
        .is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json"))
}

/// Reads a review. Never fails without an answer to give.
pub fn parse<'a>(content_type: Option<&str>, body: &'a [u8]) -> Parsed<'a> {
    let refused = |uid: Option<String>, field: &str, message: String| Parsed::Refused {
        uid: uid.unwrap_or_default(),
        refusal: rules::refusal(&MALFORMED, field, message),
    };
    if !is_json(content_type) {
        return refused(
            UidFinder::find(body),
            "",
            format!(
                "the Content-Type is {}; send the AdmissionReview as application/json",
                content_type.map_or("missing".to_owned(), |value| format!("{:?}", short(value)))
            ),
        );
    }
    if let Some(count) = values::more_than(body, values::MOST) {
        let message = format!(
            "the review holds {count} values (list entries and fields), and {} are read; make the object smaller, \
             for example by putting long lists and maps into a file or one text",
            values::MOST
        );
        return Parsed::Refused {
            uid: UidFinder::find(body).unwrap_or_default(),
            refusal: rules::refusal(&TOO_LARGE, "", message),
        };
    }
    let envelope = match serde_json::from_slice::<Envelope<'a>>(body) {
        Ok(envelope) => envelope,
        Err(error) => return refused(UidFinder::find(body), "", unreadable(body, &error)),
    };
    let uid = || {
        envelope
            .request
            .as_ref()
            .map(|request| request.uid.clone().into_owned())
    };
    if envelope.kind != KIND {
        let message = format!("is {:?}; send an {KIND}", short(&envelope.kind));
        return refused(uid(), "kind", message);
    }
    if envelope.api_version != API_VERSION {
        let message = format!(
            "is {:?}; only {API_VERSION} is understood, so list v1 in admissionReviewVersions",
            short(&envelope.api_version)
        );
        return refused(uid(), "apiVersion", message);
    }
    let Some(request) = envelope.request else {
        return refused(
            None,
            "request",
            "is missing; a review without a request asks nothing".to_owned(),
        );
    };
    if request.uid.is_empty() {
        let message =
            "is missing; without it the API server cannot tell which call is answered".to_owned();
        return refused(None, "request.uid", message);
    }
    Parsed::Request(Box::new(request))
}

/// Why bytes are no review, and what to do about it.
fn unreadable(body: &[u8], error: &serde_json::Error) -> String {
    let text = error.to_string();
    if body.iter().all(u8::is_ascii_whitespace) {
        return "the body is empty; send an AdmissionReview".to_owned();
    }
    if error.is_eof() {
        return format!("the body ends in the middle of its JSON ({text}); send it whole");
    }
    if text.starts_with("recursion limit exceeded") {
        return format!("the object is nested deeper than 120 levels ({text}); flatten it");
    }
    if text.starts_with("number out of range") {
        return format!("a number is too large for any field ({text}); correct it in the manifest");
    }
    if error.is_data() {
        return format!(
            "a field of the review has the wrong type ({text}); send an AdmissionReview v1"
        );
    }
    format!("the body is not JSON ({text}); send an AdmissionReview v1")
}

/// The first 80 characters of something that somebody sent, for a message.
fn short(text: &str) -> String {
    text.chars().take(80).collect()
}
