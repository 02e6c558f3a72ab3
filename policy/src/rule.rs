//! Rules: what each refusal is called, and what `sluice rules` and `sluice explain` tell about it.

use crate::finding::Code;

/// Which of the namespace's modes governs a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// The object could not run, or could not be read. Always enforced.
    Validation,
    /// A running session cluster would change. Label `sluice.dev/immutability`.
    Immutability,
    /// CPU beyond a quota. Label `sluice.dev/quota`.
    Quota,
    /// Defaults that were not filled in. Label `sluice.dev/defaults`.
    Defaults,
}

/// A rule with a stable id. Refusals end in the id, so that it can be looked up with `sluice explain ID`.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// Stable id, `family/name`, for example `quota/cpu`.
    pub id: &'static str,
    /// Which mode governs it.
    pub family: Family,
    /// The HTTP code of its refusal.
    pub code: Code,
    /// One line for `sluice rules`.
    pub summary: &'static str,
    /// What is judged, why, and the way out; a few sentences for `sluice explain`.
    pub explain: &'static str,
    /// Where the rule comes from: a document, an upstream behaviour.
    pub source: &'static str,
}

/// Every rule of every dialect and of the pipeline itself, by id.
pub fn rules() -> Vec<&'static Rule> {
    let mut all: Vec<&'static Rule> = crate::admit::RULES.to_vec();
    all.push(&crate::ledger::QUOTA_CPU);
    for dialect in crate::dialect::dialects() {
        all.extend(dialect.rules());
    }
    all.sort_by_key(|rule| rule.id);
    all.dedup_by_key(|rule| rule.id);
    all
}
