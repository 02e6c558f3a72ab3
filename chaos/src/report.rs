//! What a run comes to, as text.

use crate::answers::{Answer, Effect};
use crate::check::{Promise, Verdict, Violation};
use crate::faults::Counts;
use crate::holds::Fate;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::Duration;

/// Violations that are shown in full.
const SHOWN: usize = 12;

/// A run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// The command that does it again.
    pub command: String,
    /// Operations begun.
    pub operations: u64,
    /// Answers by verb.
    pub answers: BTreeMap<(&'static str, Answer), u64>,
    /// What those would have done that no webhook answered.
    pub unheard: BTreeMap<Effect, u64>,
    /// Faults by kind.
    pub faults: Counts,
    /// Processes that ended by themselves.
    pub ended: BTreeMap<String, u64>,
    /// What the history says.
    pub verdict: Verdict,
    /// What became of holds.
    pub holds: BTreeMap<String, Fate>,
    /// The last revision that was read.
    pub revision: u64,
    /// From the first operation to the last answer.
    pub took: Duration,
    /// From the last fault undone until everything was at rest; `None` if it never was.
    pub rest: Option<Duration>,
}

impl Report {
    /// All broken promises.
    pub fn violations(&self) -> &[Violation] {
        &self.verdict.violations
    }

    /// Whether all went as promised.
    pub fn is_clean(&self) -> bool {
        self.violations().is_empty()
    }

    /// The earliest operation at which a promise was seen broken.
    pub fn first(&self) -> Option<u64> {
        let operations = self.violations().iter().filter_map(|one| one.operation);
        operations.min()
    }

    /// How many operations were answered so.
    pub fn answered(&self, of: impl Fn(&Answer) -> bool) -> u64 {
        let matching = self.answers.iter().filter(|((_, answer), _)| of(answer));
        matching.map(|(_, count)| count).sum()
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VIOLATION")?;
        if let Some(at) = self.revision {
            write!(f, " at revision {at}")?;
        }
        if let Some(by) = self.operation {
            write!(f, ", operation {by}")?;
        }
        write!(f, ": {}: {}", self.promise.words(), self.seen)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} operations of seed {} in {:.0} s; at rest {}.",
            self.operations,
            self.seed,
            self.took.as_secs_f64(),
            self.rest.map_or_else(
                || "never, or not waited for".to_owned(),
                |rest| format!("{:.1} s later", rest.as_secs_f64())
            )
        )?;
        writeln!(f, "\n| operation | answers |\n|---|---|")?;
        let mut verbs: BTreeMap<&str, Vec<(&Answer, u64)>> = BTreeMap::new();
        for ((verb, answer), count) in &self.answers {
            verbs.entry(verb).or_default().push((answer, *count));
        }
        for (verb, answers) in verbs {
            let mut line = String::new();
            for (answer, count) in answers {
                let comma = if line.is_empty() { "" } else { ", " };
                write!(line, "{comma}{count} {answer}")?;
            }
            writeln!(f, "| {verb} | {line} |")?;
        }
        self.describe_answers(f)?;
        writeln!(f, "\n| fault | times |\n|---|--:|")?;
        for (fault, times) in &self.faults {
            writeln!(f, "| {fault} | {times} |")?;
        }
        for (name, times) in self.ended.iter().filter(|(_, times)| **times > 0) {
            writeln!(f, "| {name} ended by itself | {times} |")?;
        }
        writeln!(
            f,
            "\n| holds, by what became of the request | times | median, s | longest, s | CPU x s |\n|---|--:|--:|--:|--:|"
        )?;
        for (fate, told) in &self.holds {
            writeln!(f, "| {fate} | {told} |")?;
        }
        let verdict = &self.verdict;
        writeln!(
            f,
            "\netcd's revision {}: {} changes of workloads and quotas checked, {} increases through admission where limits are enforced \
             ({} elsewhere), {} sums compared with a limit, {} set aside as their webhook may not have known the quota; {} violations.",
            self.revision,
            verdict.changes,
            verdict.increases,
            verdict.lenient,
            verdict.sums,
            verdict.set_aside,
            verdict.violations.len()
        )?;
        self.describe_violations(f)
    }
}

impl Report {
    /// Of all operations, and how many raised a charge.
    fn describe_answers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[allow(clippy::cast_precision_loss)] // some thousands
        let share = |count: u64| 100.0 * count as f64 / self.operations.max(1) as f64;
        let increases = self.verdict.increases;
        writeln!(
            f,
            "\n| of {} operations | times | % |\n|---|--:|--:|\n| admitted increases | {increases} | {:.1} |",
            self.operations,
            share(increases)
        )?;
        let mut answers: BTreeMap<&Answer, u64> = BTreeMap::new();
        for ((_, answer), count) in &self.answers {
            *answers.entry(answer).or_default() += count;
        }
        for (answer, count) in answers {
            writeln!(f, "| {answer} | {count} | {:.1} |", share(count))?;
        }
        for (effect, count) in &self.unheard {
            let share = share(*count);
            writeln!(
                f,
                "| no webhook answered what {effect} | {count} | {share:.1} |"
            )?;
        }
        Ok(())
    }

    fn describe_violations(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_clean() {
            return Ok(());
        }
        let mut kinds: BTreeMap<Promise, usize> = BTreeMap::new();
        for violation in self.violations() {
            *kinds.entry(violation.promise).or_default() += 1;
        }
        for (promise, count) in kinds {
            writeln!(f, "  {count} x {}", promise.words())?;
        }
        if let Some(first) = self.first() {
            writeln!(f, "  the first by operation {first}")?;
        }
        for violation in self.violations().iter().take(SHOWN) {
            writeln!(f, "{violation}")?;
        }
        writeln!(f, "The same operations and faults again: {}", self.command)
    }
}
