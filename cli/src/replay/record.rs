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

/// Reads a line, which is one request, or the deletion of several objects; none: it is nothing that the gate would judge. The error says
/// why it cannot be read.
pub(super) fn read(line: &str) -> Result<Vec<Record>, String> {
    let value: Value =
        serde_json::from_str(line).map_err(|error| format!("this is no JSON: {error}"))?;
    match json::text(&value, &["kind"]) {
        Some("AdmissionReview") => Ok(review(&value)?.into_iter().collect()),
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
    let is_dry_run = request.get("dryRun").and_then(Value::as_bool) == Some(true);
    if is_dry_run || json::text(request, &["subResource"]).is_some_and(|sub| !sub.is_empty()) {
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
fn event(value: &Value) -> Vec<Record> {
    let code = value
        .get("responseStatus")
        .and_then(|status| status.get("code"))
        .and_then(Value::as_i64)
        .unwrap_or_default();
    if json::text(value, &["stage"]) != Some("ResponseComplete")
        || !(200..300).contains(&code)
        || json::text(value, &["objectRef", "subresource"]).is_some()
        || is_dry_run(value)
    {
        return Vec::new();
    }
    let asked = match json::text(value, &["verb"]) {
        Some("create") => vec![(
            Asked::Create,
            part(value, "requestObject").or_else(|| part(value, "responseObject")),
        )],
        // What was not there is created by a server-side apply, too.
        Some("update" | "patch") if code == 201 => {
            vec![(Asked::Create, part(value, "responseObject"))]
        }
        // A patch is no object, so what came out of it is taken.
        Some("update" | "patch") => vec![(Asked::Update(None), part(value, "responseObject"))],
        Some("delete") => vec![(Asked::Delete, deleted(value))],
        Some("deletecollection") => all_deleted(value)
            .into_iter()
            .map(|object| (Asked::Delete, Some(object)))
            .collect(),
        _ => Vec::new(),
    };
    let records = asked.into_iter().filter_map(|(asked, object)| {
        Some(Record {
            asked,
            object: placed(object?, json::text(value, &["objectRef", "namespace"])),
            user: json::text(value, &["user", "username"])
                .unwrap_or("unknown")
                .to_owned(),
            at: json::text(value, &["requestReceivedTimestamp"]).map(str::to_owned),
        })
    });
    records.collect()
}

/// An object of an event, if that is one.
fn part(value: &Value, key: &str) -> Option<Value> {
    value
        .get(key)
        .filter(|part| json::text(part, &["metadata", "name"]).is_some())
        .cloned()
}

/// Nothing comes of a dry run. It stands in the query; kubectl writes it into the options of a deletion.
fn is_dry_run(value: &Value) -> bool {
    let query = json::text(value, &["requestURI"]).and_then(|uri| uri.split_once('?'));
    let options = value
        .get("requestObject")
        .filter(|body| json::text(body, &["kind"]) == Some("DeleteOptions"));
    query.is_some_and(|(_, query)| query.split('&').any(|part| part == "dryRun=All"))
        || options
            .and_then(|options| options.get("dryRun")?.as_array())
            .is_some_and(|stages| !stages.is_empty())
}

/// A deletion may answer with a Status; what was deleted stands in the reference.
fn deleted(value: &Value) -> Option<Value> {
    let reference = value.get("objectRef")?;
    named(
        reference,
        json::text(reference, &["name"])?,
        json::text(reference, &["namespace"]),
    )
}

/// What a deletion of many has deleted stands in its answer only. An answer without items does not tell: what went with it is seen to
/// go by its next update, if there is one.
fn all_deleted(value: &Value) -> Vec<Value> {
    let items = value
        .get("responseObject")
        .and_then(|list| list.get("items")?.as_array());
    let all = items.into_iter().flatten().filter_map(|item| {
        named(
            value.get("objectRef")?,
            json::text(item, &["metadata", "name"])?,
            json::text(item, &["metadata", "namespace"]),
        )
    });
    all.collect()
}

/// An object of the resource that is referred to.
fn named(reference: &Value, name: &str, namespace: Option<&str>) -> Option<Value> {
    let group = json::text(reference, &["apiGroup"])?;
    let resource = json::text(reference, &["resource"])?;
    let kind = sluice_policy::dialect::dialect_for_resource(group, resource)?.kind();
    let object = serde_json::json!({
        "apiVersion": format!("{group}/{}", kind.version),
        "kind": kind.kind,
        "metadata": {"name": name},
    });
    Some(placed(object, namespace))
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
