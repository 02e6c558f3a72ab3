//! Counters of the ledger's actors.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

/// Counters over all quotas; never labelled with names.
#[derive(Clone, Debug, Default)]
pub struct LedgerMetrics {
    writes: Counter,
    conflicts: Counter,
    live_reads: Counter,
    failures: Counter,
    late: Counter,
    taken_back: Counter,
    second_looks: Counter,
    holds: Counter,
}

impl LedgerMetrics {
    /// Registers the counters.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "sluice_ledger_writes",
            "Batches written to the status of a quota",
            self.writes.clone(),
        );
        registry.register(
            "sluice_ledger_conflicts",
            "Batches evaluated again because somebody else wrote first",
            self.conflicts.clone(),
        );
        registry.register(
            "sluice_ledger_live_reads",
            "Reads of a quota past the cache",
            self.live_reads.clone(),
        );
        registry.register(
            "sluice_ledger_failures",
            "Calls of the API server that failed",
            self.failures.clone(),
        );
        registry.register(
            "sluice_ledger_late",
            "Requests that were not decided by their deadline",
            self.late.clone(),
        );
        registry.register(
            "sluice_ledger_taken_back",
            "Holds of requests that were never answered, taken back",
            self.taken_back.clone(),
        );
        registry.register(
            "sluice_ledger_second_looks",
            "Refusals that waited for a count in progress before they were given",
            self.second_looks.clone(),
        );
        registry.register(
            "sluice_ledger_holds",
            "Holds taken for requests",
            self.holds.clone(),
        );
    }

    pub(super) fn wrote(&self, taken_back: usize) {
        self.writes.inc();
        self.taken_back.inc_by(taken_back as u64);
    }

    pub(super) fn conflict(&self) {
        self.conflicts.inc();
    }

    pub(super) fn live_read(&self) {
        self.live_reads.inc();
    }

    pub(super) fn failure(&self) {
        self.failures.inc();
    }

    pub(crate) fn second_look(&self) {
        self.second_looks.inc();
    }

    pub(super) fn held(&self, holds: usize) {
        self.holds.inc_by(holds as u64);
    }

    pub(super) fn late(&self) {
        self.late.inc();
    }

    /// Batches written.
    pub fn writes(&self) -> u64 {
        self.writes.get()
    }

    /// Holds taken back.
    pub fn taken_back(&self) -> u64 {
        self.taken_back.get()
    }

    /// Batches evaluated again after a conflict.
    pub fn conflicts(&self) -> u64 {
        self.conflicts.get()
    }
}
