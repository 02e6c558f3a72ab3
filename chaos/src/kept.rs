//! The history of a run, kept so that it can be judged again: by a checker that was mended or sharpened, or by a person.

use crate::Report;
use crate::check::{self, Attempts, Promise, Update, Verdict};
use crate::history::Change;
use crate::place::Place;
use crate::plan;
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

/// All that [`check::check`] is given, and what only the run itself could see.
#[derive(Serialize, Deserialize)]
struct Kept<'a> {
    /// Whether the end was waited for, so that all must be exact there.
    rested: bool,
    /// Broken promises that are not in the history: in answers.
    accusations: Vec<String>,
    history: Cow<'a, [Change]>,
    creates: BTreeMap<u64, u64>,
    updates: Vec<(Place, u64, Vec<Update>)>,
    /// Moments since the first.
    clock: Vec<(Duration, u64)>,
}

/// What a history is judged to be.
#[derive(Debug)]
pub struct Judged {
    /// As the checker of now says, with the end if the run had waited for it.
    pub verdict: Verdict,
    /// Broken promises that a history does not show, as the run told them.
    pub accusations: Vec<String>,
}

/// Writes a run's history with what clients had sent, as JSON; folders are made.
///
/// # Errors
/// The file cannot be written.
pub fn keep(
    report: &Report,
    history: &[Change],
    attempts: &Attempts,
    to: &Path,
) -> anyhow::Result<()> {
    let began = attempts.clock.first().map(|(at, _)| *at);
    let since = |at: Instant| began.map_or(Duration::ZERO, |began| at - began);
    let updates = attempts.updates.iter();
    let clock = attempts.clock.iter();
    let violations = report.violations().iter();
    let kept = Kept {
        rested: report.rest.is_some()
            || violations
                .clone()
                .any(|one| one.promise == Promise::ExactAtRest),
        accusations: violations
            .filter(|one| one.promise == Promise::DecreasesPass)
            .map(ToString::to_string)
            .collect(),
        history: history.into(),
        creates: attempts.creates.iter().map(|(of, at)| (*of, *at)).collect(),
        updates: updates
            .map(|((place, base), sent)| (place.clone(), *base, sent.clone()))
            .collect(),
        clock: clock.map(|(at, known)| (since(*at), *known)).collect(),
    };
    fs::create_dir_all(to.parent().unwrap_or(Path::new(".")))?;
    let mut file = BufWriter::new(File::create(to)?);
    serde_json::to_writer(&mut file, &kept)?;
    Ok(file.flush()?)
}

/// Judges a history that was kept.
///
/// # Errors
/// The file cannot be read, or is none that [`keep`] wrote.
pub fn judge(from: &Path) -> anyhow::Result<Judged> {
    let file = File::open(from).with_context(|| from.display().to_string())?;
    let kept: Kept<'_> = serde_json::from_reader(BufReader::new(file))
        .with_context(|| format!("{} is no history that was kept", from.display()))?;
    let began = Instant::now();
    let updates = kept.updates.into_iter();
    let attempts = Attempts {
        creates: kept.creates.into_iter().collect::<HashMap<_, _>>(),
        updates: updates
            .map(|(place, base, sent)| ((place, base), sent))
            .collect(),
        clock: kept
            .clock
            .into_iter()
            .map(|(since, known)| (began + since, known))
            .collect(),
    };
    let mut verdict = check::check(&kept.history, &attempts, plan::enforces);
    if kept.rested {
        let unrest = verdict.state.unrest();
        verdict.violations.extend(crate::not_at_rest(unrest));
    }
    Ok(Judged {
        verdict,
        accusations: kept.accusations,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Limit, Workload, Written};
    use crate::place::{Kind, Quota};

    #[test]
    fn what_was_kept_is_judged_alike() {
        let place = Place {
            kind: Kind::Deployment,
            namespace: "a".into(),
            name: "orders".into(),
        };
        let limit = Limit {
            hard: 1_000,
            generation: 1,
            namespaces: None,
            ledger: None,
        };
        let orders = |generation, charge, operation| Workload {
            uid: "1".into(),
            generation,
            charge,
            operation: Some(operation),
            missing: Vec::new(),
        };
        let written = [
            Written::Quota(Quota::Cluster("all".into()), Some(limit)),
            Written::Workload(place.clone(), Some(orders(1, 500, 1))),
            Written::Workload(place.clone(), Some(orders(2, 1_500, 2))),
        ];
        let history: Vec<Change> = (10..)
            .zip(written)
            .map(|(revision, what)| Change { revision, what })
            .collect();
        let began = Instant::now();
        let seconds = |seconds| began + Duration::from_secs(seconds);
        let update = Update {
            operation: 2,
            scales: false,
            known: 11,
        };
        let attempts = Attempts {
            creates: HashMap::from([(1, 10)]),
            updates: HashMap::from([((place, 11), vec![update])]),
            clock: vec![(began, 1), (seconds(1), 10), (seconds(60), 11)],
        };
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("kept/history.json");
        let mut report = Report::default();
        let refused = check::Violation {
            promise: Promise::DecreasesPass,
            revision: None,
            operation: Some(3),
            seen: "stop of x: refused".into(),
        };
        report.verdict.violations.push(refused);
        keep(&report, &history, &attempts, &file).expect("it is written");
        let now = check::check(&history, &attempts, plan::enforces);
        assert!(!now.violations.is_empty());
        let again = judge(&file).expect("it is read");
        assert_eq!(again.verdict.violations, now.violations);
        assert_eq!(again.verdict.sums, now.sums);
        let told = "VIOLATION, operation 3: a decrease was refused: stop of x: refused";
        assert_eq!(again.accusations, [told]);
        // The quota is not counted, which is no rest.
        report.rest = Some(Duration::from_secs(1));
        keep(&report, &history, &attempts, &file).expect("it is written");
        let rested = judge(&file).expect("it is read").verdict;
        let last = rested.violations.last().map(|one| one.promise);
        assert_eq!(last, Some(Promise::ExactAtRest));
        // What clients had sent counts: without it another promise is broken.
        let nobody = check::check(&history, &Attempts::default(), plan::enforces);
        assert_ne!(nobody.violations, now.violations);
    }
}
