//! What a quota's scope cost at any revision of the past, so that a count can be held against the very revisions that it names.

use crate::history::Limit;
use crate::place::Kind;
use std::collections::BTreeMap;

/// Sums of charges by kind and namespace, each from a revision on.
#[derive(Clone, Debug, Default)]
pub struct Sums(BTreeMap<(Kind, String), Vec<(u64, u64)>>);

impl Sums {
    /// A workload of this kind and namespace changed what it costs at this revision.
    pub fn change(&mut self, revision: u64, kind: Kind, namespace: &str, before: u64, now: u64) {
        let sums = self.0.entry((kind, namespace.to_owned())).or_default();
        let sum = sums.last().map_or(0, |(_, sum)| *sum);
        sums.push((revision, sum + now - before));
    }

    /// What a quota counts, each kind at the revision that `snapshot` says; kinds that it does not name are not counted.
    pub fn at(&self, limit: &Limit, snapshot: &BTreeMap<String, u64>) -> u64 {
        let one = |((kind, namespace), sums): (&(Kind, String), &Vec<(u64, u64)>)| {
            let at = snapshot.get(&format!("{}.{}", kind.plural(), kind.group()))?;
            let until = sums.partition_point(|(revision, _)| revision <= at);
            let (_, sum) = sums.get(until.checked_sub(1)?)?;
            limit.covers(namespace).then_some(*sum)
        };
        self.0.iter().filter_map(one).sum()
    }
}
