//! Modes: what a namespace makes of a verdict, in the manner of Pod Security.
//!
//! A verdict is computed first and the mode is applied to it in one place, [`crate::admit`].

/// What happens to a refusal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Refuse.
    #[default]
    Enforce,
    /// Admit and return an admission warning.
    Warn,
    /// Admit silently.
    Off,
}

impl Mode {
    /// Reads a label's value, in any case; anything else is `None`.
    pub fn parse(word: &str) -> Option<Self> {
        [
            ("enforce", Mode::Enforce),
            ("warn", Mode::Warn),
            ("off", Mode::Off),
        ]
        .into_iter()
        .find_map(|(name, mode)| word.eq_ignore_ascii_case(name).then_some(mode))
    }
}

/// The three modes of a namespace (labels `sluice.dev/immutability`, `sluice.dev/quota`, `sluice.dev/defaults`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Modes {
    /// Frozen fields of running session clusters.
    pub immutability: Mode,
    /// CPU quota. `Warn` and `Off` still take the hold, so that the ledger stays true.
    pub quota: Mode,
    /// Filling in of defaults. `Warn` fills in nothing and tells what it would fill in.
    pub defaults: Mode,
}

impl Modes {
    /// The modes that a namespace's labels ask for, over the cluster's own default. A value that is no mode counts
    /// as not given, so a typing error never opens the gate.
    pub fn from_labels<'l>(cluster: Modes, label: impl Fn(&str) -> Option<&'l str>) -> Self {
        let read = |key: &str, fallback| label(key).and_then(Mode::parse).unwrap_or(fallback);
        Self {
            immutability: read("sluice.dev/immutability", cluster.immutability),
            quota: read("sluice.dev/quota", cluster.quota),
            defaults: read("sluice.dev/defaults", cluster.defaults),
        }
    }
}
