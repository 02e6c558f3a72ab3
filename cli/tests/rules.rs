//! Every rule that a refusal can end in is listed and explained.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // clippy.toml spares tests, but not their helper functions

mod support;

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use support::sluice;

/// Rule ids in a source file: `id: "family/name"`, the first argument of `rule!` and its like, and `[family/name]` at the end of
/// texts. Ids that are put together from a prefix are checked by policy's own tests, on what is refused there.
fn ids(source: &str) -> BTreeSet<String> {
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let is_id = |text: &str| {
        text.split_once('/').is_some_and(|(family, name)| {
            [family, name].iter().all(|part| {
                part.starts_with(|c: char| c.is_ascii_lowercase())
                    && part
                        .bytes()
                        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            })
        })
    };
    let mut found = BTreeSet::new();
    for (mark, end) in [
        ("id: \"", '"'),
        ("rule!(\"", '"'),
        ("upstream(\"", '"'),
        ("malformed(\"", '"'),
        ("[", ']'),
    ] {
        let flat: String = code
            .lines()
            .map(str::trim)
            .filter(|line| !line.starts_with("//"))
            .collect();
        for rest in flat.split(mark).skip(1) {
            let text = rest.split(end).next().unwrap_or_default();
            if is_id(text) {
                found.insert(text.to_owned());
            }
        }
    }
    found
}

fn sources(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy();
        if path.is_dir() {
            sources(&path, found);
        } else if name.ends_with(".rs") && name != "tests.rs" {
            found.extend(ids(&std::fs::read_to_string(&path).unwrap()));
        }
    }
}

#[test]
fn every_rule_in_the_sources_is_listed_and_explained() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut used = BTreeSet::new();
    for folder in ["policy/src", "webhook/src", "controller/src", "cli/src"] {
        sources(&root.join(folder), &mut used);
    }
    let run = sluice(&["rules", "-o", "json"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let listed: Vec<Value> = serde_json::from_str(&run.stdout).unwrap();
    let listed: BTreeSet<String> = listed
        .iter()
        .map(|rule| rule["id"].as_str().unwrap().to_owned())
        .collect();
    for known in [
        "quota/cpu",
        "modes/guarded",
        "status/guarded",
        "request/malformed",
        "request/stale-parent",
        "defaults/incomplete",
        "flink/shape",
        "config/environment-state",
    ] {
        assert!(used.contains(known), "{known} is not found in the sources");
    }
    let missing: Vec<_> = used.difference(&listed).collect();
    assert!(missing.is_empty(), "not listed: {missing:?}");
    for id in ["modes/guarded", "[request/slow]", "Quota/CPU"] {
        let run = sluice(&["explain", id]);
        assert_eq!(run.code, 0, "{id}: {}", run.stderr);
        assert!(run.stdout.contains("Mode:   "), "{}", run.stdout);
    }
}

#[test]
fn a_rule_that_is_misspelt_is_told_the_one_that_was_meant() {
    for (wanted, said) in [
        ("quta/cpu", " did you mean quota/cpu?"),
        ("qouta/cpu", " did you mean quota/cpu?"),
        ("[quota/cup]", " did you mean quota/cpu?"),
        ("sessioncluster/cpu", " did you mean session-cluster/cpu?"),
        ("Session/CPU", " did you mean session-cluster/cpu?"),
        (
            "sessioncluster/flink-version",
            " did you mean session-cluster/flink-version?",
        ),
        (
            "flink-version",
            " did you mean deployment/flink-version or flink/version or session-cluster/flink-version?",
        ),
        ("quota", " those of quota are quota/cpu;"),
        ("Modes/", " those of Modes are modes/guarded;"),
        ("", ""),
        (" / ", ""),
        ("xyz", ""),
        ("é/ü", ""),
    ] {
        let run = sluice(&["explain", wanted]).expect_code(2);
        let shown = wanted.trim().trim_matches(['[', ']', '/']);
        assert_eq!(
            run.stderr,
            format!(
                "sluice: there is no rule \"{shown}\";{said} `sluice rules` lists all of them\n"
            )
        );
    }
}
