//! Ways to break the ledger on purpose, so that the chaos run can show that its checker would notice. They exist in debug builds only, by
//! a variable of the environment; in a release build every question here is answered `false` at compile time.

/// The variable that names what is broken.
pub const VARIABLE: &str = "SLUICE_SABOTAGE";

/// What can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// `drop-holds`: confirming drops every hold, whether its object has been seen or not.
    DropHolds,
    /// `old-snapshot`: a leader may count from a view that is older than the last count, and drops holds by it.
    OldSnapshot,
    /// `last-write-wins`: after a conflict the webhook writes the same book over whatever is stored by then.
    LastWriteWins,
}

impl Sabotage {
    /// As the variable says it.
    pub const fn word(self) -> &'static str {
        match self {
            Sabotage::DropHolds => "drop-holds",
            Sabotage::OldSnapshot => "old-snapshot",
            Sabotage::LastWriteWins => "last-write-wins",
        }
    }

    /// Whether this process is broken so.
    #[cfg(debug_assertions)]
    pub fn is_on(self) -> bool {
        static CHOSEN: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
        let chosen = CHOSEN.get_or_init(|| std::env::var(VARIABLE).ok());
        chosen.as_deref() == Some(self.word())
    }

    /// Never, in a release build.
    #[cfg(not(debug_assertions))]
    pub const fn is_on(self) -> bool {
        false
    }
}
