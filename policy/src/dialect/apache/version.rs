//! Flink versions as the Apache operator names them.

/// A version of the operator's list, `v1_20`. Ordered by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FlinkVersion(u8);

const WORDS: [&str; 13] = [
    "v1_13", "v1_14", "v1_15", "v1_16", "v1_17", "v1_18", "v1_19", "v1_20", "v2_0", "v2_1", "v2_2",
    "v2_3", "v2_4",
];

impl FlinkVersion {
    /// All, oldest first.
    pub(crate) const ALL: [FlinkVersion; 13] = [
        Self(0),
        Self(1),
        Self(2),
        Self(3),
        Self(4),
        Self(5),
        Self(6),
        Self(7),
        Self(8),
        Self(9),
        Self(10),
        Self(11),
        Self(12),
    ];

    /// The oldest that the operator still runs.
    pub(crate) const OLDEST_SUPPORTED: FlinkVersion = Self(2);

    /// The first that knows `kubernetes.taskmanager.cpu.amount`; older ones only `kubernetes.taskmanager.cpu`.
    pub(crate) const NEW_CPU_KEYS: FlinkVersion = Self(4);

    /// The first that the operator writes a configuration in real YAML for; older ones read lines.
    pub(crate) const YAML: FlinkVersion = Self(8);

    /// The first whose REST API tells slot sharing groups, by which the autoscaler keeps to its quota.
    pub(crate) const SLOT_SHARING_GROUPS: FlinkVersion = Self(7);

    /// Reads `v1_20`, in exactly this spelling.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .zip(WORDS)
            .find_map(|(version, known)| (known == word).then_some(version))
    }

    /// `v1_20`.
    pub(crate) fn word(self) -> &'static str {
        WORDS.get(usize::from(self.0)).copied().unwrap_or("")
    }

    /// The words that are supported, for messages: `v1_15, v1_16`.
    pub(crate) fn supported_words() -> String {
        Self::ALL
            .into_iter()
            .filter(|version| *version >= Self::OLDEST_SUPPORTED)
            .map(Self::word)
            .collect::<Vec<_>>()
            .join(", ")
    }
}
