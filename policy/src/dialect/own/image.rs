//! The Flink image: registry, repository and tag as a container runtime takes them.

use super::at::At;
use super::check::Judge;
use crate::finding::CauseReason;
use crate::json;
use serde_json::Value;

type Fit = fn(&str) -> bool;

const PARTS: [(&str, Fit, &str); 3] = [
    (
        "flinkImageRegistry",
        is_registry,
        "is no registry; write a host, with a port if it needs one, such as docker.io or registry.example:5000",
    ),
    (
        "flinkImageRepository",
        is_repository,
        "is no repository; write lower-case names separated by '/', such as library/flink",
    ),
    (
        "flinkImageTag",
        is_tag,
        "is no tag; write one such as 1.20-java17, or a digest (sha256:...)",
    ),
];

/// Judges the parts of the image that stand in `owner`: a session cluster's spec or an artifact.
pub(crate) fn judge(owner: &Value, at: &At<'_>, judge: &mut Judge<'_>) {
    for (key, is_fit, advice) in PARTS {
        // What is no text is told by the check of the field.
        if let Some(text) = owner.get(key).and_then(Value::as_str)
            && !is_fit(text)
        {
            let message = format!("{} {advice}", json::shown(&text.into()));
            judge.refuse(
                judge.rules.field,
                &at.key(key),
                CauseReason::Invalid,
                message,
            );
        }
    }
}

fn is_registry(text: &str) -> bool {
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    host.split('.').all(is_label) && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

fn is_repository(text: &str) -> bool {
    let is_part = |part: &str| {
        let edge =
            |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        edge(part.chars().next())
            && edge(part.chars().next_back())
            && part.chars().all(|c| {
                c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-')
            })
    };
    text.len() <= 255 && text.split('/').all(is_part)
}

fn is_tag(text: &str) -> bool {
    let is_digest = |text: &str| {
        text.strip_prefix("sha256:")
            .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    let is_name = |text: &str| {
        (1..=128).contains(&text.len())
            && !text.starts_with(['.', '-'])
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
    };
    match text.split_once('@') {
        Some((tag, digest)) => is_name(tag) && is_digest(digest),
        None => is_name(text) || is_digest(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("docker.io", "library/flink", "1.20")]
    #[case("registry.ververica.com", "flink", "1.12.0-stream1-scala_2.12")]
    #[case("localhost:5000", "a/b_c/d.e", "v1")]
    fn images(#[case] registry: &str, #[case] repository: &str, #[case] tag: &str) {
        assert!(is_registry(registry) && is_repository(repository) && is_tag(tag));
    }

    #[test]
    fn digests_are_tags() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        assert!(is_tag(&digest) && is_tag(&format!("1.20@{digest}")));
        assert!(!is_tag("sha256:0a") && !is_tag("1.20@latest"));
    }

    #[test]
    fn what_no_runtime_takes() {
        for registry in [
            "",
            "a b",
            "https://docker.io",
            "docker.io/x",
            "a:b",
            "a:99999",
        ] {
            assert!(!is_registry(registry), "{registry}");
        }
        for repository in ["", "Flink", "flink:1.20", "/flink", "a//b", "a b"] {
            assert!(!is_repository(repository), "{repository}");
        }
        for tag in ["", "-a", "a b", "a/b", "é"] {
            assert!(!is_tag(tag), "{tag}");
        }
    }
}
