//! Reads single options of a flat Flink configuration as Flink would.

use super::{FlinkVersion, short};
use crate::quantity::Bytes;
use serde_json::{Map, Value};

/// A configuration of dotted keys. Values that are no text (they are refused elsewhere) count as absent.
#[derive(Clone, Copy, Debug)]
pub struct Options<'c> {
    map: Option<&'c Map<String, Value>>,
    /// The version that reads it, if known.
    pub version: Option<FlinkVersion>,
}

/// An option whose value Flink could not read, or that contradicts others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionFault {
    /// The option's key.
    pub key: String,
    /// What is wrong and what to do, without the key.
    pub message: String,
}

impl OptionFault {
    /// A fault of an option.
    pub fn new(key: &str, message: impl Into<String>) -> Self {
        Self {
            key: key.to_owned(),
            message: message.into(),
        }
    }
}

/// Units that Flink's own options take, in any case. Unlike Sluice's fields, `1Gi` and `1.5g` are not among them.
const UNITS: [(&[&str], u32); 5] = [
    (&["", "b", "bytes"], 0),
    (&["k", "kb", "kibibytes"], 10),
    (&["m", "mb", "mebibytes"], 20),
    (&["g", "gb", "gibibytes"], 30),
    (&["t", "tb", "tebibytes"], 40),
];

/// A part of a whole in billionths; Flink's fractions have fewer digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fraction(u64);

impl Fraction {
    const WHOLE: u64 = 1_000_000_000;

    pub(super) const fn tenths(tenths: u64) -> Self {
        Self(tenths * Self::WHOLE / 10)
    }

    /// This part of a size.
    pub(super) fn of(self, size: u64) -> u64 {
        scale(size, self.0, Self::WHOLE)
    }

    /// `size * f / (1 - f)`: the part that, added to `size`, is this fraction of the sum. A whole has no such part.
    pub(super) fn beside(self, size: u64) -> Option<u64> {
        let rest = Self::WHOLE.checked_sub(self.0).filter(|rest| *rest > 0)?;
        Some(scale(size, self.0, rest))
    }
}

fn scale(size: u64, by: u64, over: u64) -> u64 {
    let product = u128::from(size) * u128::from(by) / u128::from(over.max(1));
    u64::try_from(product).unwrap_or(u64::MAX)
}

impl<'c> Options<'c> {
    /// The options of a `flinkConfiguration`.
    pub fn of(configuration: Option<&'c Value>, version: Option<FlinkVersion>) -> Self {
        Self {
            map: configuration.and_then(Value::as_object),
            version,
        }
    }

    /// The value of an option, without surrounding blanks.
    pub fn text(&self, key: &str) -> Option<&'c str> {
        self.map?.get(key)?.as_str().map(str::trim)
    }

    /// The first of several keys of an option that is set: its own, then its older names, which Flink 2 reads too.
    fn first<'k>(&self, keys: &[&'k str]) -> Option<(&'k str, &'c str)> {
        keys.iter()
            .find_map(|key| self.text(key).map(|text| (*key, text)))
    }

    /// A size in bytes under one of `keys`, if set.
    pub(super) fn size(&self, keys: &[&str]) -> Result<Option<u64>, OptionFault> {
        let Some((key, text)) = self.first(keys) else {
            return Ok(None);
        };
        memory_size(text)
            .map(|Bytes(bytes)| Some(bytes))
            .ok_or_else(|| {
                let remedy = match crate::quantity::flink_memory(text) {
                    Ok(Bytes(bytes)) => format!(
                        "Flink reads whole numbers with k, m, g or t; write {}m",
                        (bytes >> 20).max(1)
                    ),
                    Err(_) => "write a size such as 512m or 2g".to_owned(),
                };
                OptionFault::new(
                    key,
                    format!(
                        "\"{}\" is no size that Flink can read; {remedy}",
                        short(text)
                    ),
                )
            })
    }

    /// A size with a default in MiB.
    pub(super) fn size_or(&self, keys: &[&str], mebibytes: u64) -> Result<u64, OptionFault> {
        Ok(self.size(keys)?.unwrap_or(mebibytes << 20))
    }

    /// A fraction from 0 to less than 1.
    pub(super) fn fraction_or(
        &self,
        keys: &[&str],
        default: Fraction,
    ) -> Result<Fraction, OptionFault> {
        let Some((key, text)) = self.first(keys) else {
            return Ok(default);
        };
        text.parse::<f64>()
            .ok()
            .filter(|fraction| (0.0..1.0).contains(fraction))
            .and_then(|fraction| {
                // Through text, so that no cast can lose anything.
                format!("{fraction:.9}").replace('.', "").parse().ok()
            })
            .map(Fraction)
            .ok_or_else(|| {
                OptionFault::new(
                    key,
                    format!(
                        "\"{}\" is no fraction; write a number from 0 to less than 1, such as 0.4",
                        short(text)
                    ),
                )
            })
    }
}

fn memory_size(text: &str) -> Option<Bytes> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let unit = unit.trim().to_ascii_lowercase();
    let (_, shift) = UNITS
        .iter()
        .find(|(names, _)| names.contains(&unit.as_str()))?;
    let number: u128 = digits.parse().ok()?;
    let bytes = number.checked_mul(1_u128 << shift)?;
    i64::try_from(bytes)
        .ok()
        .map(|bytes| Bytes(bytes.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("1024", Some(1024))]
    #[case("1 g", Some(1 << 30))]
    #[case("64MB", Some(64 << 20))]
    #[case("2 tebibytes", Some(2 << 40))]
    #[case("1Gi", None)]
    #[case("1.5g", None)]
    #[case("-1g", None)]
    #[case("", None)]
    #[case("99999999999999999999g", None)]
    fn sizes_as_flink_reads_them(#[case] text: &str, #[case] expected: Option<u64>) {
        assert_eq!(memory_size(text), expected.map(Bytes));
    }

    #[test]
    fn fractions_are_exact() {
        assert_eq!(Fraction::tenths(4).of(1000), 400);
        assert_eq!(Fraction::tenths(1).beside(900), Some(100));
        assert_eq!(Fraction::tenths(10).beside(900), None);
    }
}
