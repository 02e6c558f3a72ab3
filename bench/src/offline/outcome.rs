//! What came of a run, and how its verdicts are read from what the tool printed.

use super::tools::{NAMESPACE, Tool};
use serde_json::{Value, json};
use std::time::Duration;

/// What came of a run.
pub struct Outcome {
    /// From the start of the process to its end.
    pub took: Duration,
    /// Of its threads, as far as they lived to the end.
    pub cpu: Duration,
    /// The most that was resident, in MiB.
    pub peak: f64,
    /// Who said it.
    pub tool: Tool,
    /// All of its standard output.
    pub said: String,
}

impl Outcome {
    /// Names that were refused, each with the first that was said of it, in the order of the output.
    pub fn refused(&self) -> Vec<(String, String)> {
        let said = match self.tool {
            Tool::Sluice => Self::sluice(&self.said),
            Tool::Gator => self.said.lines().filter_map(Self::gator).collect(),
            Tool::Kyverno => Self::kyverno(&self.said),
        };
        let mut all: Vec<(String, String)> = Vec::new();
        for (name, message) in said {
            if !all.iter().any(|(known, _)| *known == name) {
                all.push((name, message));
            }
        }
        all
    }

    /// Refusals in Sluice's list of verdicts.
    fn sluice(said: &str) -> Vec<(String, String)> {
        let verdicts: Vec<Value> = serde_json::from_str(said).unwrap_or_default();
        let refused = |verdict: &Value| {
            let text = |key: &str| Some(verdict.get(key)?.as_str()?.to_owned());
            (verdict.get("allowed") == Some(&json!(false)))
                .then(|| Some((text("name")?, text("message")?)))
                .flatten()
        };
        verdicts.iter().filter_map(refused).collect()
    }

    /// A refusal in a line of gator's text.
    fn gator(line: &str) -> Option<(String, String)> {
        // flink.apache.org/v1beta1/FlinkDeployment team-b/app: ["rules"] Message: "..."
        let (_, rest) = line.split_once(&format!("FlinkDeployment {NAMESPACE}/"))?;
        let (name, message) = rest.split_once([':', ' '])?;
        let (_, said) = message.split_once("Message:").unwrap_or(("", message));
        Some((name.to_owned(), said.trim().trim_matches('"').to_owned()))
    }

    /// Refusals in Kyverno's text: a line with the object, then one for each rule.
    fn kyverno(said: &str) -> Vec<(String, String)> {
        // policy bench-rules -> resource team-b/FlinkDeployment/app failed:
        // 1 - flink-version validation error: ...
        let object = format!("-> resource {NAMESPACE}/FlinkDeployment/");
        let lines = said.lines().zip(said.lines().skip(1));
        lines
            .filter_map(|(line, next)| {
                let (_, name) = line.split_once(&object)?;
                let name = name.strip_suffix(" failed:")?;
                let (_, message) = next.split_once(" - ")?;
                Some((name.to_owned(), message.to_owned()))
            })
            .collect()
    }

    /// A rule that could not be judged, which Kyverno only counts.
    pub fn failed(&self) -> bool {
        self.tool == Tool::Kyverno && !self.last_line().contains(" error: 0,")
    }

    /// Whether something stands in its output.
    pub fn says(&self, words: &str) -> bool {
        self.said.contains(words)
    }

    /// The last line that it printed.
    pub fn last_line(&self) -> &str {
        self.said
            .lines()
            .rev()
            .find(|line| !line.trim().is_empty())
            .unwrap_or("nothing")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_read_from_what_each_tool_prints() {
        let outcome = |tool, said: &str| Outcome {
            took: Duration::ZERO,
            cpu: Duration::ZERO,
            peak: 0.0,
            tool,
            said: said.to_owned(),
        };
        let sluice = outcome(
            Tool::Sluice,
            r#"[{"name":"a","allowed":true,"message":null},{"name":"b","allowed":false,"message":"no"}]"#,
        );
        assert_eq!(sluice.refused(), [("b".to_owned(), "no".to_owned())]);
        let gator = outcome(
            Tool::Gator,
            "flink.apache.org/v1beta1/FlinkDeployment team-b/b: [\"rules\"] Message: \"no\"\n",
        );
        assert_eq!(gator.refused(), [("b".to_owned(), "no".to_owned())]);
        let kyverno = outcome(
            Tool::Kyverno,
            "policy rules -> resource team-b/FlinkDeployment/b failed:\n1 - version no\n2 - name neither\n\n\
             pass: 3, fail: 2, warn: 0, error: 0, skip: 0 \n",
        );
        assert_eq!(
            kyverno.refused(),
            [("b".to_owned(), "version no".to_owned())]
        );
        assert!(!kyverno.failed());
        let kyverno = outcome(
            Tool::Kyverno,
            "\npass: 3, fail: 0, warn: 0, error: 1, skip: 0 \n",
        );
        assert!(kyverno.failed());
    }
}
