//! What each tool can decide: small cases with a known answer, and the cell says what the tool made of it.

use super::outcome::Outcome;
use super::timing::{named, set};
use super::tools::{Case, Tool, Toolbox};
use crate::table::Table;
use serde_json::{Value, json};

/// A case with its answer.
struct Question {
    title: &'static str,
    case: Case,
    /// Who must be refused; all others, those that run included, must not.
    refused: &'static [&'static str],
    /// What the output must show besides.
    shows: Option<&'static str>,
}

/// Asks all of them.
pub async fn run(toolbox: &Toolbox, tools: &[Tool]) -> anyhow::Result<()> {
    let mut table = Table::new(["decision", "who decides it", "what it printed"]);
    for question in questions()? {
        for tool in tools {
            let outcome = toolbox.run(*tool, &question.case).await?;
            let (can, printed) = question.verdict(&outcome);
            table.row([
                question.title.to_owned(),
                format!("{}: {can}", tool.title()),
                printed.replace('|', "\\|"),
            ]);
        }
    }
    table.print();
    Ok(())
}

impl Question {
    fn verdict(&self, outcome: &Outcome) -> (&'static str, String) {
        let refused = outcome.refused();
        let mut names: Vec<&str> = refused.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        let as_should = names == self.refused;
        let shown = self.shows.is_none_or(|words| outcome.says(words));
        let can = if as_should && shown { "yes" } else { "**no**" };
        let printed = match (refused.first(), self.shows) {
            (_, Some(words)) if shown => format!("the object with {words}"),
            (None, Some(words)) => format!("nothing of {words}"),
            (None, None) => "nothing refused".to_owned(),
            (Some((name, message)), _) => {
                let message: String = message.chars().take(110).collect();
                format!("refused {}; {name}: {message}", names.join(", "))
            }
        };
        (can, printed)
    }
}

fn questions() -> anyhow::Result<Vec<Question>> {
    let with = |name: &str, pointer: &str, value: Value| {
        let mut object = named(name);
        set(&mut object, pointer, value);
        object
    };
    Ok(vec![
        Question {
            title: "a field breaks a rule",
            case: Case::write(
                &[
                    named("good"),
                    with("old-flink", "/spec/flinkVersion", json!("v1_14")),
                ],
                &[],
                &[],
                None,
            )?,
            refused: &["old-flink"],
            shows: None,
        },
        Question {
            title: "defaults are filled in",
            case: Case::write(&[named("good")], &[], &[], None)?,
            refused: &[],
            shows: Some("exponential-delay"),
        },
        Question {
            title: "a change of what is frozen, and one that is not",
            case: Case::write(
                &[
                    session("frozen", "flink:1.20.2"),
                    session("same", "flink:1.20"),
                ],
                &[],
                &[
                    deployed(session("frozen", "flink:1.20")),
                    deployed(session("same", "flink:1.20")),
                ],
                None,
            )?,
            refused: &["frozen"],
            shows: None,
        },
        Question {
            title: "the same change before and after the operator has deployed it",
            case: Case::write(
                &[
                    session("after", "flink:1.20.2"),
                    session("before", "flink:1.20.2"),
                ],
                &[],
                &[
                    deployed(session("after", "flink:1.20")),
                    session("before", "flink:1.20"),
                ],
                None,
            )?,
            refused: &["after"],
            shows: None,
        },
        Question {
            title: "two of 5 CPU each, where one of 5 runs and 12 are allowed",
            case: Case::write(
                &[named("first"), named("second")],
                &[named("runs")],
                &[],
                Some(12),
            )?,
            refused: &["second"],
            shows: None,
        },
    ])
}

/// A session cluster: a FlinkDeployment without a job.
fn session(name: &str, image: &str) -> Value {
    let mut object = named(name);
    if let Some(spec) = object.pointer_mut("/spec").and_then(Value::as_object_mut) {
        spec.remove("job");
        spec.insert("image".to_owned(), json!(image));
    }
    object
}

/// As the operator leaves it.
fn deployed(mut object: Value) -> Value {
    let spec = object.get("spec").cloned().unwrap_or_default();
    let last =
        json!({"spec": spec, "resource_metadata": {"apiVersion": "flink.apache.org/v1beta1"}})
            .to_string();
    if let Some(map) = object.as_object_mut() {
        map.insert(
            "status".to_owned(),
            json!({
                "lifecycleState": "STABLE",
                "reconciliationStatus": {"state": "DEPLOYED", "lastReconciledSpec": last, "lastStableSpec": last},
            }),
        );
    }
    object
}
