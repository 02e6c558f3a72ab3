//! Tests of the reader: positions, spellings, and everything that a hostile file may try.

use super::*;
use serde_json::{Value, json};

fn one(text: &str) -> Value {
    let documents = read(text).unwrap();
    assert_eq!(documents.len(), 1, "{text}");
    documents[0].to_json()
}

fn refused(text: &str) -> String {
    read(text).unwrap_err().to_string()
}

#[test]
fn spelling_and_place_are_kept() {
    let documents =
        read("# a\nspec:\n  flinkVersion: 1.10\n  cpu: 1.0\n  tag: \"1.10\"\n").unwrap();
    let spec = documents[0].get("spec").unwrap();
    let version = spec.get("flinkVersion").unwrap();
    assert_eq!(version.spelling(), Some("1.10"));
    assert_eq!(version.to_json(), json!(1.1));
    assert_eq!(
        version.at,
        Position {
            line: 3,
            column: 17
        }
    );
    assert_eq!(spec.get("cpu").unwrap().to_json(), json!(1));
    assert_eq!(spec.get("tag").unwrap().to_json(), json!("1.10"));
}

#[test]
fn several_documents_and_empty_ones() {
    let documents = read("---\na: 1\n---\n# nothing\n---\n---\nb: 2\n...\n").unwrap();
    assert_eq!(
        documents.iter().map(Node::to_json).collect::<Vec<_>>(),
        vec![json!({"a": 1}), json!({"b": 2})]
    );
    assert_eq!(read("").unwrap(), vec![]);
    assert_eq!(read("# only a comment\n").unwrap(), vec![]);
}

#[test]
fn json_is_read_as_it_is_written() {
    assert_eq!(
        one("{\n\t\"a\": [1, 2.50, true, null, \"x\\u00e9\\n\\/\"],\n\t\"b\": {}\n}\n"),
        json!({"a": [1, 2.5, true, null, "xé\n/"], "b": {}})
    );
}

#[test]
fn anchors_aliases_and_merges() {
    assert_eq!(
        one(
            "base: &b {cpu: 1, memory: 1Gi}\none: *b\ntwo:\n  <<: *b\n  cpu: 2\nthree:\n  <<: [{cpu: 9}, *b]\n"
        ),
        json!({
            "base": {"cpu": 1, "memory": "1Gi"},
            "one": {"cpu": 1, "memory": "1Gi"},
            "two": {"cpu": 2, "memory": "1Gi"},
            "three": {"cpu": 9, "memory": "1Gi"},
        })
    );
}

#[test]
fn duplicate_keys_are_named_with_both_places() {
    assert_eq!(
        refused("spec:\n  cpu: 1\n  memory: 2\n  \"cpu\": 3\n"),
        "line 4, column 3: the key \"cpu\" stands here for the second time; first in line 2, column 3. Remove one of them"
    );
    assert!(refused("{\"a\": 1, \"a\": 2}").starts_with("line 1, column 10: the key \"a\""));
}

#[test]
fn tabs_are_named() {
    let message = refused("spec:\n\tcpu: 1\n");
    assert!(message.starts_with("line 2, column"), "{message}");
    assert!(message.contains("tab"), "{message}");
}

#[test]
fn nesting_ends_somewhere() {
    let deepest = format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
    assert!(read(&deepest).is_ok());
    for levels in [MAX_DEPTH + 1, 300, 100_000] {
        let message = refused(&format!("{}{}", "[".repeat(levels), "]".repeat(levels)));
        assert!(
            message.ends_with("nested more than 120 levels deep; no object needs that"),
            "{message}"
        );
        let message = refused(&format!("{}{}", "{a: ".repeat(levels), "}".repeat(levels)));
        assert!(message.contains("levels deep"), "{message}");
    }
    let mut staircase = String::new();
    for level in 0..200 {
        staircase.push_str(&" ".repeat(level));
        staircase.push_str("a:\n");
    }
    assert!(
        refused(&staircase).starts_with("line 12"),
        "{}",
        refused(&staircase)
    );
}

#[test]
fn aliases_cannot_fill_the_memory() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let below = level - 1;
        let row = vec![format!("*a{below}"); 10].join(", ");
        bomb = format!("{bomb}a{level}: &a{level} [{row}]\n");
    }
    assert!(
        refused(&bomb).contains("aliases repeat more than"),
        "{}",
        refused(&bomb)
    );

    let wall = |inner: &str| format!("{}{inner}{}", "[".repeat(100), "]".repeat(100));
    let tower = format!("a: &a {}\nb: &b {}\n", wall("x"), wall("*a"));
    assert!(
        refused(&tower).contains("levels deep"),
        "{}",
        refused(&tower)
    );
}

#[test]
fn an_alias_of_itself_or_of_nothing() {
    assert!(
        refused("a: &a [*a]\n").contains("line 1, column 8"),
        "{}",
        refused("a: &a [*a]\n")
    );
    assert!(
        refused("a: *nothing\n").contains("line 1, column 4"),
        "{}",
        refused("a: *nothing\n")
    );
}

#[test]
fn what_json_cannot_hold() {
    assert_eq!(
        refused("a: .nan\n"),
        "line 1, column 4: .nan is no number that JSON knows; quote it or write a number"
    );
    assert!(refused("? [a]\n: 1\n").contains("cannot be a key"));
    assert!(refused(": 1\n").contains("a key is missing"));
    assert!(refused("a: !secret x\n").contains("the tag !secret"));
    assert_eq!(one("a: !!str 1.10\n"), json!({"a": "1.10"}));
}

#[test]
fn bytes_that_are_no_utf_8() {
    let error = read_bytes(b"a: 1\nb\xc3\xa9: \xff\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 2, column 5: the file is not UTF-8 here; save it as UTF-8"
    );
    assert!(
        read_bytes(b"\xff\xfea\0")
            .unwrap_err()
            .message
            .contains("UTF-16")
    );
    assert_eq!(
        read_bytes(b"\xef\xbb\xbfa: 1\n").unwrap()[0].to_json(),
        json!({"a": 1})
    );
}
