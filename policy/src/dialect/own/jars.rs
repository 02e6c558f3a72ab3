//! Where jars may come from: paths in the Flink image, and URIs that can be fetched before Flink starts.

use super::at::At;
use super::check::Judge;
use crate::finding::CauseReason;
use crate::json;
use serde_json::Value;

/// Schemes that are fetched, and those that mean a file in the image.
const SCHEMES: [&str; 7] = ["http", "https", "s3", "s3a", "s3p", "local", "file"];

/// Judges one jar. What is no text is told by the check of the field.
pub(crate) fn judge(jar: &Value, at: &At<'_>, judge: &mut Judge<'_>) {
    let Some(uri) = jar.as_str() else { return };
    if let Some(fault) = fault(uri) {
        let message = format!("{} {fault}", json::shown(jar));
        judge.refuse(judge.rules.jar, at, CauseReason::Invalid, message);
    }
}

/// Judges every entry of a list of jars.
pub(crate) fn judge_all(jars: Option<&Value>, at: &At<'_>, judge: &mut Judge<'_>) {
    for (index, jar) in jars
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .enumerate()
    {
        self::judge(jar, &at.index(index), judge);
    }
}

fn fault(uri: &str) -> Option<String> {
    const EXAMPLES: &str = "write a URI such as https://repo.example/job.jar or s3://bucket/job.jar, or a path in the image such as \
         /opt/flink/usrlib/job.jar";
    if uri.is_empty() || uri.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Some(format!("is no URI; {EXAMPLES}"));
    }
    if uri.starts_with('/') {
        return uri
            .ends_with('/')
            .then(|| format!("is a folder; {EXAMPLES}"));
    }
    let Some((scheme, rest)) = uri.split_once(':') else {
        return Some(format!("has no scheme; {EXAMPLES}"));
    };
    let scheme = scheme.to_ascii_lowercase();
    if !SCHEMES.contains(&scheme.as_str()) {
        return Some(format!(
            "has scheme {scheme}, which cannot be fetched; the schemes are {}",
            SCHEMES.join(", ")
        ));
    }
    let is_local = matches!(scheme.as_str(), "local" | "file");
    let location = rest.strip_prefix("//");
    let is_complete = match location {
        Some(path) if is_local => path.starts_with('/') && path.len() > 1,
        Some(location) => location
            .split_once('/')
            .is_some_and(|(host, path)| !host.is_empty() && !path.is_empty()),
        None => is_local && rest.starts_with('/') && rest.len() > 1,
    };
    (!is_complete).then(|| format!("names no file; {EXAMPLES}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("/opt/flink/usrlib/a.jar")]
    #[case("local:///opt/flink/usrlib/a.jar")]
    #[case("file:/opt/a.jar")]
    #[case("http://artifacts.example.org/a.jar")]
    #[case("HTTPS://h/a.jar?x=1")]
    #[case("s3://bucket/flink-job.jar")]
    fn what_can_be_fetched(#[case] uri: &str) {
        assert_eq!(fault(uri), None);
    }

    #[rstest]
    #[case("", "is no URI")]
    #[case("a b.jar", "is no URI")]
    #[case("a.jar", "has no scheme")]
    #[case("/opt/", "is a folder")]
    #[case("ftp://h/a.jar", "has scheme ftp, which cannot be fetched")]
    #[case(
        "javascript:alert(1)",
        "has scheme javascript, which cannot be fetched"
    )]
    #[case("s3://bucket", "names no file")]
    #[case("https:///a.jar", "names no file")]
    #[case("local://opt/a.jar", "names no file")]
    fn what_cannot(#[case] uri: &str, #[case] expected: &str) {
        let fault = fault(uri).unwrap();
        assert!(fault.starts_with(expected), "{fault}");
    }
}
