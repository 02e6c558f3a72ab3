//! Plays a test: each step is a request to the gate without a cluster, and what is admitted stays for the next.

use super::golden::{Golden, Goldens};
use super::suite::{Ask, Expect, Step, Suite, Target, Test};
use crate::exit::Failure;
use crate::offline::manifest::Manifest;
use crate::offline::{Gate, Verdict};
use crate::yaml::{Node, Position, write};
use serde_json::Value;

/// What became of a step.
pub(super) struct Played {
    /// `update SessionCluster team-a/analytics`.
    pub what: String,
    pub at: Position,
    /// `None`: nobody is asked, as about a deletion.
    pub verdict: Option<Verdict>,
    /// What is not as expected.
    pub problems: Vec<String>,
}

/// Plays all steps of a test, the later ones too if an earlier one is not as expected.
pub(super) fn play(
    suite: &Suite,
    test: &Test,
    goldens: &mut Goldens,
) -> Result<Vec<Played>, Failure> {
    let mut gate = Gate::new(&suite.namespace, &suite.user, suite.knowledge);
    gate.settings(&suite.policy)?;
    gate.exists(&suite.inventory)?;
    let mut played = Vec::new();
    for step in &test.steps {
        gate.asked_by(step.user.as_deref().unwrap_or(&suite.user));
        let (what, verdict) = ask(suite, &mut gate, step)?;
        let problems = problems(&step.expect, verdict.as_ref(), goldens)?;
        played.push(Played {
            what,
            at: step.at,
            verdict,
            problems,
        });
    }
    Ok(played)
}

fn ask(suite: &Suite, gate: &mut Gate, step: &Step) -> Result<(String, Option<Verdict>), Failure> {
    let fault =
        |at: Position, message: String| Failure::Input(format!("{}: {at}: {message}", suite.file));
    let missing = |target: &Target| {
        let id = &target.id;
        fault(
            target.at,
            format!(
                "{id} does not exist here; create it in an earlier step or put it into the inventory"
            ),
        )
    };
    match &step.ask {
        Ask::Create(document) => {
            let manifest = judged(gate, document)?;
            if gate.has(&manifest.id) {
                let message = format!("{} exists already; this is an update", manifest.id);
                return Err(fault(step.at, message));
            }
            Ok((
                format!("create {}", manifest.id),
                Some(gate.judge(&manifest)),
            ))
        }
        Ask::Update(document, old) => {
            if let Some(old) = old {
                gate.stored(std::slice::from_ref(old))?;
            }
            let manifest = judged(gate, document)?;
            if !gate.updates(&manifest.id) {
                let message = format!(
                    "{} does not exist here; say what is stored with old, or create it in an earlier step",
                    manifest.id
                );
                return Err(fault(step.at, message));
            }
            Ok((
                format!("update {}", manifest.id),
                Some(gate.judge(&manifest)),
            ))
        }
        Ask::Scale(target, replicas) => {
            let verdict = gate
                .scale(&target.id, target.dialect, *replicas)
                .ok_or_else(|| missing(target))?;
            Ok((format!("scale {} to {replicas}", target.id), Some(verdict)))
        }
        Ask::Delete(target) => {
            if !gate.delete(&target.id, target.dialect) {
                return Err(missing(target));
            }
            Ok((format!("delete {}", target.id), None))
        }
    }
}

fn judged(gate: &Gate, document: &crate::input::Document) -> Result<Manifest, Failure> {
    let manifest = gate.manifest(document)?;
    if manifest.dialect.is_none() {
        let message = format!(
            "{} never reaches the gate; put it into policy or inventory",
            manifest.id
        );
        return Err(Failure::Input(document.fault(manifest.at, message)));
    }
    Ok(manifest)
}

fn problems(
    expect: &Expect,
    verdict: Option<&Verdict>,
    goldens: &mut Goldens,
) -> Result<Vec<String>, Failure> {
    let mut problems = Vec::new();
    let refused = verdict.and_then(|verdict| verdict.refused.as_ref());
    match (expect.allowed, refused) {
        (Some(true), Some(refused)) => problems.push(format!("is refused: {}", refused.message)),
        (Some(false), None) => problems.push("is admitted".to_owned()),
        _ => {}
    }
    if let (Some(refused), Some(false)) = (refused, expect.allowed) {
        let by = |rule: &str| {
            refused.rule == rule || refused.causes.iter().any(|cause| cause.rule.id == rule)
        };
        if let Some(rule) = expect.rule.as_deref().filter(|rule| !by(rule)) {
            problems.push(format!(
                "is refused, but not by {rule}: {}",
                refused.message
            ));
        }
        for part in expect
            .message
            .iter()
            .filter(|part| !refused.message.contains(*part))
        {
            problems.push(format!(
                "the message does not hold \"{part}\": {}",
                refused.message
            ));
        }
    }
    let warnings = verdict
        .map(|verdict| verdict.warnings.as_slice())
        .unwrap_or_default();
    if let Some(expected) = &expect.warnings {
        let given = || warnings.join("; ");
        if expected.is_empty() && !warnings.is_empty() {
            problems.push(format!("there should be no warning: {}", given()));
        }
        for part in expected
            .iter()
            .filter(|part| !warnings.iter().any(|warning| warning.contains(*part)))
        {
            problems.push(format!("no warning holds \"{part}\": {}", given()));
        }
    }
    let stored = verdict.filter(|verdict| verdict.is_admitted());
    let contents = [
        (
            &expect.object,
            stored.map(|verdict| write::write(&Node::from(&verdict.object))),
        ),
        (
            &expect.patch,
            stored.map(|verdict| pretty(&verdict.patch)).transpose()?,
        ),
    ];
    for (path, content) in contents {
        match (path, content) {
            (None, _) => {}
            (Some(path), None) => problems.push(format!(
                "nothing is stored that {} could be held against",
                path.display()
            )),
            (Some(path), Some(content)) => match goldens.hold(path, &content)? {
                Golden::Same => {}
                Golden::Other(difference) => problems.push(difference),
            },
        }
    }
    Ok(problems)
}

fn pretty(patch: &[json_patch::PatchOperation]) -> Result<String, Failure> {
    let value: Value = serde_json::to_value(patch).map_err(anyhow::Error::new)?;
    let text = serde_json::to_string_pretty(&value).map_err(anyhow::Error::new)?;
    Ok(format!("{text}\n"))
}
