//! What a workload costs: the one type that policy needs of any kind, and the charge that follows from it.

use crate::quantity::MilliCpu;

/// What a workload is asked to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Desired {
    /// It shall run.
    Running,
    /// It shall not run now but keep its state.
    Suspended,
    /// It shall not run.
    Stopped,
}

/// A workload of any dialect. Nothing downstream of the dialect knows JSON paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workload {
    /// What is asked for. An object with a deletionTimestamp asks for nothing.
    pub desired: Desired,
    /// CPU that it needs while it runs, whether or not it is asked to run.
    pub demand: MilliCpu,
    /// CPU that its pods hold now as its controller tells it, if it does.
    pub allocated: Option<MilliCpu>,
    /// Whether the controller has observed this spec and no operation is in progress.
    pub settled: bool,
}

/// CPU charged to a quota.
pub type Charge = MilliCpu;

impl Workload {
    /// A workload that never costs anything, for example a session job whose cluster has paid.
    pub const FREE: Workload = Workload {
        desired: Desired::Stopped,
        demand: MilliCpu::ZERO,
        allocated: None,
        settled: false,
    };

    /// The charge, `settled and observed ? allocated : max(demand, allocated)` (quota-ledger, "Charge").
    ///
    /// What is stopped but still has pods costs what they hold; what was told to run costs its demand at once.
    pub fn charge(&self) -> Charge {
        let wanted = if self.desired == Desired::Running {
            self.demand
        } else {
            MilliCpu::ZERO
        };
        match (self.allocated, self.settled) {
            (Some(allocated), true) => allocated,
            (Some(allocated), false) => allocated.max(wanted),
            (None, _) => wanted,
        }
    }
}
