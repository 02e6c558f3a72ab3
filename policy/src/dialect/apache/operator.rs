//! The Apache operator's own configuration, as its ConfigMap holds it: what `World::operator_configuration` is made of.
//!
//! Reading the ConfigMap from a cluster or a file is the edges' work; what its keys mean is in [`super::conf`].

use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Name of the ConfigMap that the operator's chart makes in the operator's namespace.
pub const CONFIG_MAP: &str = "flink-operator-config";

/// The format of lines `key: value` (Flink's own until 1.18).
const LINES: &str = "flink-conf.yaml";
/// YAML (Flink's own since 1.19).
const YAML: &str = "config.yaml";

/// The configuration in a ConfigMap, as one map whose values may be nested; empty if it holds neither of the two files.
///
/// The chart writes both files, with its defaults in each and the admin's settings in one, and mounts only that one. Which it
/// is does not stand in the ConfigMap, so `config.yaml` counts where it says all that `flink-conf.yaml` says, and more.
///
/// # Errors
/// What is wrong with the file that counts; the operator would not start with it.
pub fn configuration(config_map: &Value) -> Result<Value, String> {
    let file = |name: &str| {
        config_map
            .get("data")
            .and_then(|data| data.get(name))
            .and_then(Value::as_str)
    };
    match (file(LINES), file(YAML)) {
        (None, None) => Ok(Value::Object(Map::new())),
        (None, Some(yaml)) => read_yaml(yaml),
        (Some(lines), Some(yaml)) if says_more(yaml, lines) => read_yaml(yaml),
        (Some(lines), _) => Ok(read_lines(lines)),
    }
}

fn says_more(one: &str, other: &str) -> bool {
    let words = |text: &str| -> BTreeSet<String> {
        text.lines()
            .map(|line| line.trim().to_owned())
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .collect()
    };
    let (one, other) = (words(one), words(other));
    one.len() > other.len() && other.is_subset(&one)
}

/// As Flink reads its old format; the last line with a key counts.
fn read_lines(text: &str) -> Value {
    let pairs = super::lines::read(text);
    Value::Object(
        pairs
            .map(|(key, value)| (key.to_owned(), Value::from(value)))
            .collect(),
    )
}

fn read_yaml(text: &str) -> Result<Value, String> {
    let options = serde_saphyr::options! { strict_booleans: true };
    match serde_saphyr::from_str_with_options::<Option<Value>>(text, options) {
        Ok(None) => Ok(Value::Object(Map::new())),
        Ok(Some(value)) if value.is_object() => Ok(value),
        Ok(Some(other)) => Err(format!(
            "{YAML} must hold a map, not {}",
            crate::json::type_name(&other)
        )),
        Err(error) => {
            let error = error.to_string();
            let first = error.lines().next().unwrap_or_default();
            Err(format!("{YAML} cannot be read: {first}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(data: &Value) -> Result<Value, String> {
        configuration(&json!({ "data": data }))
    }

    #[test]
    fn lines_are_read_as_flink_reads_them() {
        let text = "# a comment\ntaskmanager.numberOfTaskSlots: 2\nkey without value:\nkubernetes.taskmanager.cpu.amount: 0.5 # half\n\
                    no colon here\nurl: http://x:1\ntaskmanager.numberOfTaskSlots: 4\n";
        assert_eq!(
            read(&json!({ "flink-conf.yaml": text })),
            Ok(json!({
                "taskmanager.numberOfTaskSlots": "4", "kubernetes.taskmanager.cpu.amount": "0.5", "url": "http://x:1"
            }))
        );
    }

    #[test]
    fn yaml_may_be_nested() {
        let text = "kubernetes:\n  taskmanager.cpu.amount: 0.5\ntaskmanager.numberOfTaskSlots: 2\n";
        assert_eq!(
            read(&json!({ "config.yaml": text })),
            Ok(
                json!({"kubernetes": {"taskmanager.cpu.amount": 0.5}, "taskmanager.numberOfTaskSlots": 2})
            )
        );
    }

    #[test]
    fn of_the_charts_two_files_the_one_with_the_admins_settings_counts() {
        let base = "a: 1\nb: 2\n";
        let more = "a: 1\nb: 2\nc: 3\n";
        for (lines, yaml, c) in [
            (more, base, Some("3")),
            (base, more, Some("3")),
            (base, base, None),
        ] {
            let read = read(&json!({"flink-conf.yaml": lines, "config.yaml": yaml})).unwrap();
            assert_eq!(
                read.get("c")
                    .map(|c| c.to_string().replace('"', ""))
                    .as_deref(),
                c
            );
        }
        let other = "a: 9\n";
        let read = read(&json!({"flink-conf.yaml": other, "config.yaml": more})).unwrap();
        assert_eq!(
            read,
            json!({"a": "9"}),
            "it is mounted where it has settings of its own"
        );
    }

    #[test]
    fn nonsense_is_told_and_nothing_is_nothing() {
        assert_eq!(configuration(&json!(null)), Ok(json!({})));
        assert_eq!(read(&json!({"other.txt": "x"})), Ok(json!({})));
        assert_eq!(read(&json!({"config.yaml": "# nothing\n"})), Ok(json!({})));
        assert_eq!(
            read(&json!({"config.yaml": "- 1\n"})),
            Err("config.yaml must hold a map, not a list".to_owned())
        );
        let error = read(&json!({"config.yaml": "a: [1\n"})).unwrap_err();
        assert!(error.starts_with("config.yaml cannot be read: "), "{error}");
    }
}
