//! `flinkVersion`: from number to text where that is safe, and which versions there are.

use super::at::At;
use super::check::Judge;
use crate::finding::CauseReason;
use crate::flink::FlinkVersion;
use crate::json;
use serde_json::{Number, Value};

/// The version in a field, text or unambiguous number; `None` if it cannot be read.
pub(crate) fn read(value: &Value) -> Option<FlinkVersion> {
    match value {
        Value::String(text) => FlinkVersion::parse(text),
        Value::Number(number) => FlinkVersion::parse(&unambiguous(number)?),
        _ => None,
    }
}

/// The oldest version whose images still take the options that Sluice sets (`vvp-deployments.txt` begins with it).
pub(crate) const OLDEST: FlinkVersion = FlinkVersion::new(1, 8);
/// The last version of Flink 1.
const LAST_OF_1: FlinkVersion = FlinkVersion::new(1, 20);
/// The newest version that this release of Sluice was written for.
const NEWEST: FlinkVersion = FlinkVersion::new(2, 2);

/// The text of a version that YAML has read as a number, if only one version can have been meant (decision 4): 1.12
/// was 1.12, but 1.1 was 1.1 or 1.10, 1.2 was 1.2 or 1.20, and 2 may have been 2.0.
pub(crate) fn unambiguous(number: &Number) -> Option<String> {
    let text = number.to_string();
    let (whole, fraction) = text.split_once('.')?;
    let ambiguous = fraction == "0" || (whole == "1" && matches!(fraction, "1" | "2"));
    (!ambiguous).then_some(text)
}

/// Judges whether a version is given: what shall run needs one, since the image follows from it.
pub(crate) fn required(
    spec: &Value,
    keys: &[&'static str],
    is_to_run: bool,
    at: &At<'_>,
    judge: &mut Judge<'_>,
) {
    if json::present(spec, keys).is_some() {
        return;
    }
    let path = keys.iter().fold(at.path(), |path, key| path.key(key));
    if is_to_run {
        judge.findings.refuse(
            judge.rules.version,
            path,
            CauseReason::Required,
            "is needed to run, and no default names one; write it in quotes, such as \"1.20\"",
        );
    } else {
        judge.findings.warn(format!(
            "{path}: is needed before it can run, and no default names one"
        ));
    }
}

/// What is wrong with a version, or what the user should know about it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum VersionFault {
    /// The wrong type or an ambiguous number; the text says what to do.
    Unreadable(String),
    /// A version that does not exist or is not supported.
    Unsupported(String),
    /// Newer than what is known; works or not.
    Unknown(String),
}

/// Judges a `flinkVersion`.
pub(crate) fn judge(value: &Value) -> Result<FlinkVersion, VersionFault> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => match unambiguous(number) {
            Some(text) => text,
            None => return Err(VersionFault::Unreadable(quote_it(number))),
        },
        other => {
            return Err(VersionFault::Unreadable(format!(
                "must be a text such as \"1.20\", not {}",
                json::type_name(other)
            )));
        }
    };
    let Some(version) = FlinkVersion::parse(&text) else {
        return Err(VersionFault::Unreadable(format!(
            "{} is no version of Flink; write major and minor, such as \"1.20\"",
            json::shown(value)
        )));
    };
    if version < OLDEST {
        return Err(VersionFault::Unsupported(format!(
            "Flink {version} is not supported; the oldest is {OLDEST}{}",
            match version {
                FlinkVersion { major: 1, minor: 1 } => ". If 1.10 was meant, quote it: \"1.10\"",
                FlinkVersion { major: 1, minor: 2 } => ". If 1.20 was meant, quote it: \"1.20\"",
                _ => "",
            }
        )));
    }
    if version.major == 1 && version > LAST_OF_1 {
        return Err(VersionFault::Unsupported(format!(
            "there is no Flink {version}; the last of Flink 1 is {LAST_OF_1}, then comes 2.0"
        )));
    }
    if version > NEWEST {
        return Err(VersionFault::Unknown(format!(
            "Flink {version} is newer than this version of Sluice knows (up to {NEWEST}); it is judged like {NEWEST}"
        )));
    }
    Ok(version)
}

fn quote_it(number: &Number) -> String {
    let text = number.to_string();
    let (advice, example) = match text.as_str() {
        "1.1" => ("1.1 and 1.10", "1.10"),
        "1.2" => ("1.2 and 1.20", "1.20"),
        "2" | "2.0" => ("2 and 2.0", "2.0"),
        _ => {
            return format!(
                "the number {text} is no version of Flink; quote it with major and minor, such as \"1.20\""
            );
        }
    };
    format!(
        "the number {text} is ambiguous, since YAML reads {advice} alike; quote it: \"{example}\""
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    #[rstest]
    #[case(json!("1.12"), Ok((1, 12)))]
    #[case(json!("1.20.1"), Ok((1, 20)))]
    #[case(json!("1.8"), Ok((1, 8)))]
    #[case(json!("2.0"), Ok((2, 0)))]
    #[case(json!(1.12), Ok((1, 12)))]
    #[case(json!(2.1), Ok((2, 1)))]
    #[case(json!(1.1), Err("the number 1.1 is ambiguous, since YAML reads 1.1 and 1.10 alike; quote it: \"1.10\""))]
    #[case(json!(1.2), Err("the number 1.2 is ambiguous, since YAML reads 1.2 and 1.20 alike; quote it: \"1.20\""))]
    #[case(json!(2), Err("the number 2 is ambiguous, since YAML reads 2 and 2.0 alike; quote it: \"2.0\""))]
    #[case(json!(2.0), Err("the number 2.0 is ambiguous, since YAML reads 2 and 2.0 alike; quote it: \"2.0\""))]
    #[case(json!(17), Err("the number 17 is no version of Flink; quote it with major and minor, such as \"1.20\""))]
    #[case(json!("1.2"), Err("Flink 1.2 is not supported; the oldest is 1.8. If 1.20 was meant, quote it: \"1.20\""))]
    #[case(json!("1.7"), Err("Flink 1.7 is not supported; the oldest is 1.8"))]
    #[case(json!("1.21"), Err("there is no Flink 1.21; the last of Flink 1 is 1.20, then comes 2.0"))]
    #[case(json!("v1_17"), Err("\"v1_17\" is no version of Flink; write major and minor, such as \"1.20\""))]
    #[case(json!("1.20-scala"), Err("\"1.20-scala\" is no version of Flink; write major and minor, such as \"1.20\""))]
    #[case(json!("1.99999999999999999999"), Err("\"1.99999999999999999999\" is no version of Flink; write major and minor, such as \"1.20\""))]
    #[case(json!(true), Err("must be a text such as \"1.20\", not a boolean"))]
    fn versions(#[case] value: Value, #[case] expected: Result<(u32, u32), &str>) {
        let judged = judge(&value)
            .map(|v| (v.major, v.minor))
            .map_err(|fault| match fault {
                VersionFault::Unreadable(text)
                | VersionFault::Unsupported(text)
                | VersionFault::Unknown(text) => text,
            });
        assert_eq!(judged, expected.map_err(str::to_owned));
    }

    #[test]
    fn what_is_newer_than_we_know_is_only_worth_a_word() {
        assert!(matches!(
            judge(&json!("2.9")),
            Err(VersionFault::Unknown(_))
        ));
        assert!(matches!(
            judge(&json!("3.0")),
            Err(VersionFault::Unknown(_))
        ));
    }
}
