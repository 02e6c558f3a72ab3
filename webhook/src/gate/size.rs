//! What is stored must stay small enough to be changed: an update is read only if the object as it was and as it shall be fit into one
//! review, and without an update nothing can be suspended.

use super::Verb;
use crate::review::rules::{self, TOO_LARGE};
use crate::review::{Request, values};
use serde_json::Value;
use sluice_policy::{Refusal, json};

/// What was stored before this was looked at may be larger. It may change, by so many values more at a time: to suspend it takes a field
/// or two.
const SOME: usize = 100;

/// A refusal of an object that could hardly be changed later.
pub fn too_large(request: &Request<'_>, verb: Verb) -> Option<Refusal> {
    let count = match verb {
        Verb::Create | Verb::Update => values::of(&request.object),
        Verb::Scale | Verb::Other | Verb::Unknown => return None,
    };
    if count <= values::STORED || grows_little(request) {
        return None;
    }
    let message = format!(
        "the object holds {count} values (list entries and fields, managedFields among them), and {} may be stored, since a \
         later change carries it twice; make the object smaller, for example by putting long lists and maps into a file or \
         one text",
        values::STORED
    );
    Some(rules::refusal(&TOO_LARGE, "", message))
}

/// Leaves out managedFields: who changes an object for the first time gets an entry of his own there.
fn grows_little(request: &Request<'_>) -> bool {
    let own = |object: &Value| {
        let managed = json::get(object, &["metadata", "managedFields"]);
        values::of(object) - managed.map_or(0, values::of)
    };
    own(&request.object) <= own(&request.old_object) + SOME
}
