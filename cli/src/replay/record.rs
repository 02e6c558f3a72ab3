//! One line of a recording: an AdmissionReview, or an event of the API server's audit log.

use serde_json::Value;
use sluice_policy::json;

/// A request as it was recorded.
pub(super) struct Record {
    pub asked: Asked,
    /// The object that it was about, with kind, namespace and name.
    pub object: Value,
    pub user: String,
    /// When, where the line says so.
    pub at: Option<String>,
}

pub(super) enum Asked {
    Create,
    /// With the object as it was stored, where the line holds it.
    Update(Option<Value>),
    Delete,
}

/// Reads a line; `None`: it is no request that the gate would judge. The error says why it cannot be read.
pub(super) fn read(line: &str) -> Result<Option<Record>, String> {
    let value: Value =
        serde_json::from_str(line).map_err(|error| format!("this is no JSON: {error}"))?;
    match json::text(&value, &["kind"]) {
        Some("AdmissionReview") => review(&value),
        Some("Event") if json::text(&value, &["apiVersion"]).is_some_and(|version| version.starts_with("audit.k8s.io/")) => Ok(event(&value)),
        _ => Err("this is neither an AdmissionReview nor an Event of audit.k8s.io; record one of the two".to_owned()),
    }
}

fn review(value: &Value) -> Result<Option<Record>, String> {
    let Some(request) = value.get("request").filter(|request| request.is_object()) else {
        return Err(
            "request is missing; record the API server's side of the AdmissionReview".to_owned(),
        );
    };
    let part = |key: &str| request.get(key).filter(|part| part.is_object()).cloned();
    if json::text(request, &["subResource"]).is_some_and(|sub| !sub.is_empty()) {
        return Ok(None);
    }
    let (asked, object) = match json::text(request, &["operation"]) {
        Some("CREATE") => (Asked::Create, part("object")),
        Some("UPDATE") => (Asked::Update(part("oldObject")), part("object")),
        Some("DELETE") => (Asked::Delete, part("oldObject")),
        _ => return Ok(None),
    };
    Ok(object.map(|object| Record {
        asked,
        object: placed(object, json::text(request, &["namespace"])),
        user: json::text(request, &["userInfo", "username"])
            .unwrap_or("unknown")
            .to_owned(),
        at: None,
    }))
}

/// Of an audit log only what was answered, and well, has taken place. Without `RequestResponse` there is no object.
fn event(value: &Value) -> Option<Record> {
    let code = value
        .get("responseStatus")
        .and_then(|status| status.get("code"))
        .and_then(Value::as_i64);
    if json::text(value, &["stage"]) != Some("ResponseComplete")
        || !code.is_some_and(|code| (200..300).contains(&code))
        || json::text(value, &["objectRef", "subresource"]).is_some()
    {
        return None;
    }
    let part = |key: &str| {
        value
            .get(key)
            .filter(|part| json::text(part, &["metadata", "name"]).is_some())
            .cloned()
    };
    let (asked, object) = match json::text(value, &["verb"])? {
        "create" => (
            Asked::Create,
            part("requestObject").or_else(|| part("responseObject"))?,
        ),
        // A patch is no object, so what came out of it is taken.
        "update" | "patch" => (Asked::Update(None), part("responseObject")?),
        "delete" => (Asked::Delete, deleted(value)?),
        _ => return None,
    };
    Some(Record {
        asked,
        object: placed(object, json::text(value, &["objectRef", "namespace"])),
        user: json::text(value, &["user", "username"])
            .unwrap_or("unknown")
            .to_owned(),
        at: json::text(value, &["requestReceivedTimestamp"]).map(str::to_owned),
    })
}

/// A deletion may answer with a Status; what was deleted stands in the reference. Its kind is the response's, or that of the resource.
fn deleted(value: &Value) -> Option<Value> {
    let reference = value.get("objectRef")?;
    let group = json::text(reference, &["apiGroup"])?;
    let dialect =
        sluice_policy::dialect::dialect_for_resource(group, json::text(reference, &["resource"])?)?;
    Some(serde_json::json!({
        "apiVersion": format!("{group}/{}", dialect.kind().version),
        "kind": dialect.kind().kind,
        "metadata": {"name": json::text(reference, &["name"])?},
    }))
}

fn placed(mut object: Value, namespace: Option<&str>) -> Value {
    if let (Some(metadata), Some(namespace)) = (
        object.get_mut("metadata").and_then(Value::as_object_mut),
        namespace.filter(|name| !name.is_empty()),
    ) {
        metadata.insert("namespace".to_owned(), namespace.into());
    }
    object
}
