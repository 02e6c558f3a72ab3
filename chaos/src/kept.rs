//! The history of a run that broke a promise, kept so that it can be judged again: by a checker that was mended, or by a person.

use crate::check::{self, Attempts, Update, Verdict};
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

/// All that [`check::check`] is given.
#[derive(Serialize, Deserialize)]
struct Kept<'a> {
    history: Cow<'a, [Change]>,
    creates: BTreeMap<u64, u64>,
    updates: Vec<(Place, u64, Vec<Update>)>,
    /// Moments since the first.
    clock: Vec<(Duration, u64)>,
}

/// Writes a history with what clients had sent, as JSON; folders are made.
///
/// # Errors
/// The file cannot be written.
pub fn keep(history: &[Change], attempts: &Attempts, to: &Path) -> anyhow::Result<()> {
    let began = attempts.clock.first().map(|(at, _)| *at);
    let since = |at: Instant| began.map_or(Duration::ZERO, |began| at - began);
    let updates = attempts.updates.iter();
    let clock = attempts.clock.iter();
    let kept = Kept {
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
pub fn judge(from: &Path) -> anyhow::Result<Verdict> {
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
    Ok(check::check(&kept.history, &attempts, plan::enforces))
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
        keep(&history, &attempts, &file).expect("it is written");
        let now = check::check(&history, &attempts, plan::enforces);
        assert!(!now.violations.is_empty());
        let again = judge(&file).expect("it is read");
        assert_eq!(again.violations, now.violations);
        assert_eq!(again.sums, now.sums);
        // What clients had sent counts: without it another promise is broken.
        let nobody = check::check(&history, &Attempts::default(), plan::enforces);
        assert_ne!(nobody.violations, now.violations);
    }
}
