//! Bytes are a file: of `sluice check` and `render`, and of `sluice convert`.

use serde_json::Value;
use sluice_cli::input::{self, Document};
use sluice_cli::offline::Gate;
use sluice_cli::offline::world::Knowledge;
use sluice_cli::yaml::{Node, read, write};

/// The file is read, written and read again, and everything in it is judged, three ways: as settings, as what exists, and
/// as requests.
pub fn check(data: &[u8]) {
    let Ok(documents) = input::parse("file", data) else {
        return;
    };
    round_trip(&documents);
    let mut gate = Gate::new("default", "fuzz", Knowledge::Partial);
    let _ = gate.settings(&documents);
    let mut gate = Gate::new("default", "fuzz", Knowledge::Full);
    if gate.exists(&documents).is_err() {
        return;
    }
    for document in &documents {
        let Ok(manifest) = gate.manifest(document) else {
            continue;
        };
        let verdict = gate.judge(&manifest);
        if let Some(refused) = verdict.refused {
            assert!(
                refused.message.ends_with(&format!("[{}]", refused.rule)),
                "{}",
                refused.message
            );
        }
    }
}

/// The file is converted; what comes out is YAML that can be read.
pub fn convert(data: &[u8]) {
    let Ok(documents) = input::parse("file", data) else {
        return;
    };
    if let Ok(converted) =
        sluice_cli::convert::convert_all(&documents, &sluice_cli::convert::Wishes::default())
    {
        let text = converted.yaml;
        let again = read::read(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert!(again.len() >= documents.len(), "{text}");
    }
}

/// What is written means what was read.
fn round_trip(documents: &[Document]) {
    for document in documents {
        let text = write::write(&document.root);
        let again = read::read(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let again = again.first().map_or(Value::Null, Node::to_json);
        assert_eq!(again, document.root.to_json(), "{text}");
    }
}
