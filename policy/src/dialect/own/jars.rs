//! Where jars may come from: paths in the Flink image, and URIs that can be fetched before Flink starts.

use super::at::At;
use super::check::Judge;
use crate::finding::CauseReason;
use crate::json;
use serde_json::Value;

/// Schemes that are fetched.
const FETCHED: [&str; 5] = ["http", "https", "s3", "s3a", "s3p"];
/// Those that mean a file in the image.
const LOCAL: [&str; 2] = ["local", "file"];

/// Who runs a jar.
#[derive(Clone, Copy)]
enum Runs {
    /// Pods of the object's own, with its image.
    Itself,
    /// A session cluster, which is handed it.
    SessionCluster,
}

impl Runs {
    fn examples(self) -> String {
        let fetched = "write a URI such as https://repo.example/job.jar or s3://bucket/job.jar";
        match self {
            Self::Itself => {
                format!("{fetched}, or a path in the image such as /opt/flink/usrlib/job.jar")
            }
            Self::SessionCluster => fetched.to_owned(),
        }
    }

    fn schemes(self) -> String {
        match self {
            Self::Itself => [&FETCHED[..], &LOCAL].concat().join(", "),
            Self::SessionCluster => FETCHED.join(", "),
        }
    }
}

/// Judges one jar. What is no text is told by the check of the field.
pub(crate) fn judge(jar: &Value, at: &At<'_>, judge: &mut Judge<'_>) {
    refuse_fault(jar, Runs::Itself, at, judge);
}

/// Judges a jar that a session cluster is handed.
pub(crate) fn judge_handed(jar: &Value, at: &At<'_>, judge: &mut Judge<'_>) {
    refuse_fault(jar, Runs::SessionCluster, at, judge);
    warn_if_in_image(jar.as_str().unwrap_or_default(), at, judge);
}

/// Warns of a jar in an image, where the pods are a session cluster's: nothing is read from there to be handed to it.
pub(crate) fn warn_if_in_image(uri: &str, at: &At<'_>, judge: &mut Judge<'_>) {
    let scheme = uri.split_once(':').map(|(scheme, _)| scheme);
    if uri.starts_with('/')
        || scheme.is_some_and(|it| LOCAL.iter().any(|local| local.eq_ignore_ascii_case(it)))
    {
        judge.findings.warn(format!(
            "{}: is a path in an image, and a session cluster is handed its jobs' jars; write an http, https or s3 URI, or put the jar \
             into spec.jars of the session cluster and name only entryClass here",
            at.path()
        ));
    }
}

fn refuse_fault(jar: &Value, runs: Runs, at: &At<'_>, judge: &mut Judge<'_>) {
    let Some(uri) = jar.as_str() else { return };
    if let Some(fault) = fault(uri, runs) {
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

fn fault(uri: &str, runs: Runs) -> Option<String> {
    let fault = |what: &str| Some(format!("{what}; {}", runs.examples()));
    if uri.is_empty() || uri.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return fault("is no URI");
    }
    if uri.starts_with('/') {
        return uri.ends_with('/').then(|| fault("is a folder")).flatten();
    }
    let Some((scheme, rest)) = uri.split_once(':') else {
        return fault("has no scheme");
    };
    let scheme = scheme.to_ascii_lowercase();
    let is_local = LOCAL.contains(&scheme.as_str());
    if !is_local && !FETCHED.contains(&scheme.as_str()) {
        return Some(format!(
            "has scheme {scheme}, which cannot be fetched; the schemes are {}",
            runs.schemes()
        ));
    }
    let location = rest.strip_prefix("//");
    let is_complete = match location {
        Some(path) if is_local => path.starts_with('/') && path.len() > 1,
        Some(location) => location
            .split_once('/')
            .is_some_and(|(host, path)| !host.is_empty() && !path.is_empty()),
        None => is_local && rest.starts_with('/') && rest.len() > 1,
    };
    if is_complete {
        return None;
    }
    fault("names no file")
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
        assert_eq!(fault(uri, Runs::Itself), None);
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
        let fault = fault(uri, Runs::Itself).unwrap();
        assert!(fault.starts_with(expected), "{fault}");
    }
}
