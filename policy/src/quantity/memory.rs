//! Memory in bytes, in the two spellings that meet here: Flink's (`1g`, `2048m`, binary) and Kubernetes' (`1Gi`).

use super::decimal::{Decimal, DecimalError};
use std::fmt;

/// A size in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bytes(pub u64);

/// Why a text is no size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemoryError {
    /// No number, or an unknown unit.
    #[error("must be a size such as 1Gi, 1024Mi, 1g or 1024m")]
    NotASize,
    /// Below zero.
    #[error("must not be negative; write a size such as 1Gi or 1024m")]
    Negative,
    /// Beyond 2^63 bytes.
    #[error("is larger than any machine; write a size such as 1Gi or 1024m")]
    TooLarge,
}

const KIBI: u128 = 1 << 10;
const MEBI: u128 = 1 << 20;
const GIBI: u128 = 1 << 30;
const TEBI: u128 = 1 << 40;
const PEBI: u128 = 1 << 50;
const EXBI: u128 = 1 << 60;

/// Flink's own units, case-insensitive, all binary (`org.apache.flink.configuration.MemorySize`).
const FLINK_UNITS: [(&str, u128); 18] = [
    ("", 1),
    ("b", 1),
    ("bytes", 1),
    ("k", KIBI),
    ("kb", KIBI),
    ("kibibytes", KIBI),
    ("kib", KIBI),
    ("m", MEBI),
    ("mb", MEBI),
    ("mebibytes", MEBI),
    ("mib", MEBI),
    ("g", GIBI),
    ("gb", GIBI),
    ("gibibytes", GIBI),
    ("gib", GIBI),
    ("t", TEBI),
    ("tb", TEBI),
    ("tib", TEBI),
];

/// Kubernetes' units, case-sensitive (`k8s.io/apimachinery/pkg/api/resource`).
const KUBERNETES_UNITS: [(&str, u128); 13] = [
    ("", 1),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("P", 1_000_000_000_000_000),
    ("E", 1_000_000_000_000_000_000),
    ("Ki", KIBI),
    ("Mi", MEBI),
    ("Gi", GIBI),
    ("Ti", TEBI),
    ("Pi", PEBI),
    ("Ei", EXBI),
];

/// The units that [`flink_memory`] reads, in lower case, each with the unit of Kubernetes that is as large.
pub fn flink_units() -> impl Iterator<Item = (String, &'static str)> {
    let binary = |name: &str| name.is_empty() || name.ends_with('i');
    let kubernetes = move || {
        KUBERNETES_UNITS
            .iter()
            .filter(move |(name, _)| binary(name))
    };
    FLINK_UNITS
        .iter()
        .chain(kubernetes())
        .filter_map(move |(name, factor)| {
            let (same, _) = kubernetes().find(|(_, other)| other == factor)?;
            Some((name.to_ascii_lowercase(), *same))
        })
}

/// Reads a size as every Flink field of Sluice does (decision 23): units `k`, `m`, `g`, `t` in any case are binary, so
/// `2048m` is 2048 MiB and never milli-bytes; Kubernetes' binary units (`1Gi`) are read as well.
pub fn flink_memory(text: &str) -> Result<Bytes, MemoryError> {
    let text = text.trim();
    let end = text
        .char_indices()
        .find(|(at, c)| !(c.is_ascii_digit() || *c == '.' || (*at == 0 && matches!(c, '-' | '+'))))
        .map_or(text.len(), |(at, _)| at);
    let (number, unit) = text.split_at(end);
    let unit = unit.trim().to_ascii_lowercase();
    let factor = FLINK_UNITS
        .iter()
        .copied()
        .chain(
            KUBERNETES_UNITS
                .iter()
                .copied()
                .filter(|(name, _)| name.ends_with('i')),
        )
        .find_map(|(name, factor)| name.eq_ignore_ascii_case(&unit).then_some(factor))
        .ok_or(MemoryError::NotASize)?;
    size(number, factor)
}

/// Reads a Kubernetes quantity of bytes: `1Gi`, `1G`, `500k`, `1e9`, `1500m` (milli-bytes, rounded up).
pub fn kubernetes_quantity(text: &str) -> Result<Bytes, MemoryError> {
    let text = text.trim();
    if let Some(number) = text.strip_suffix('m') {
        let Bytes(milli) = size(number, 1)?;
        return Ok(Bytes(milli.div_ceil(1000)));
    }
    // The exponent's `e` is no unit, but a lone `E` is: the longest unit that leaves a number wins.
    KUBERNETES_UNITS
        .iter()
        .rev()
        .filter_map(|(unit, factor)| text.strip_suffix(unit).map(|number| size(number, *factor)))
        .find(|read| !matches!(read, Err(MemoryError::NotASize)))
        .unwrap_or(Err(MemoryError::NotASize))
}

fn size(number: &str, factor: u128) -> Result<Bytes, MemoryError> {
    let decimal = Decimal::parse(number).map_err(|error| match error {
        DecimalError::NotANumber => MemoryError::NotASize,
        DecimalError::Negative => MemoryError::Negative,
        DecimalError::TooLarge => MemoryError::TooLarge,
    })?;
    let bytes = decimal
        .times_rounded_up(factor)
        .ok_or(MemoryError::TooLarge)?;
    i64::try_from(bytes)
        .map(|bytes| Bytes(bytes.unsigned_abs()))
        .map_err(|_| MemoryError::TooLarge)
}

impl fmt::Display for Bytes {
    /// The largest binary unit that divides it: `577Mi`, `1Gi`, `1000`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, shift) in [("Gi", 30), ("Mi", 20), ("Ki", 10)] {
            if self.0 != 0 && self.0.trailing_zeros() >= shift {
                return write!(f, "{}{unit}", self.0 >> shift);
            }
        }
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flink_units_are_binary_in_any_case() {
        for (text, bytes) in [
            ("1g", 1 << 30),
            ("2048m", 2048 << 20),
            ("2048M", 2048 << 20),
            ("1Gi", 1 << 30),
            ("2gib", 2 << 30),
            ("2 g", 2 << 30),
            ("1000000 b", 1_000_000),
            ("1024", 1024),
            ("1.5g", 3 << 29),
            ("1 t", 1 << 40),
        ] {
            assert_eq!(flink_memory(text), Ok(Bytes(bytes)), "{text}");
        }
    }

    #[test]
    fn every_unit_has_one_of_kubernetes_that_is_as_large() {
        let units: Vec<_> = flink_units().collect();
        assert_eq!(units.len(), FLINK_UNITS.len() + 7);
        for (unit, same) in units {
            let read = flink_memory(&format!("1{unit}"));
            assert_eq!(read, kubernetes_quantity(&format!("1{same}")), "{unit}");
            assert!(read.is_ok(), "{unit}");
        }
    }

    #[test]
    fn kubernetes_units_are_as_kubernetes_reads_them() {
        for (text, bytes) in [
            ("1G", 1_000_000_000),
            ("1Gi", 1 << 30),
            ("1500m", 2),
            ("1e9", 1_000_000_000),
            ("1E", 10_u64.pow(18)),
            ("5", 5),
        ] {
            assert_eq!(kubernetes_quantity(text), Ok(Bytes(bytes)), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_says_why() {
        for text in ["", "abc", "1x", "g", "1 2", "१g"] {
            assert_eq!(flink_memory(text), Err(MemoryError::NotASize), "{text}");
            assert_eq!(
                kubernetes_quantity(text),
                Err(MemoryError::NotASize),
                "{text}"
            );
        }
        assert_eq!(flink_memory("-2g"), Err(MemoryError::Negative));
        assert_eq!(
            flink_memory("99999999999999999999999g"),
            Err(MemoryError::TooLarge)
        );
    }

    #[test]
    fn sizes_are_shown_in_the_largest_whole_unit() {
        for (bytes, text) in [
            (577 << 20, "577Mi"),
            (1 << 30, "1Gi"),
            (1000, "1000"),
            (0, "0"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }
}
