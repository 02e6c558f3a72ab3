//! CPU in thousandths of a core.

use super::decimal::{Decimal, DecimalError};
use serde_json::Value;
use std::fmt;

/// CPU in milli-cores: 1500 is one and a half cores. Arithmetic saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MilliCpu(pub u64);

/// Why a value is no CPU figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CpuError {
    /// Not a decimal number or milli figure.
    #[error("must be a number of CPUs such as 0.5, 2 or \"500m\"")]
    NotACpu,
    /// Below zero.
    #[error("must not be negative; write a number of CPUs such as 0.5, 2 or \"500m\"")]
    Negative,
    /// Beyond what any cluster has.
    #[error("is larger than any cluster; write a number of CPUs such as 0.5, 2 or \"500m\"")]
    TooLarge,
}

impl MilliCpu {
    /// No CPU.
    pub const ZERO: MilliCpu = MilliCpu(0);

    /// The largest figure that is accepted: a billion cores. Sums of many such figures still fit.
    pub const MAX_ACCEPTED: MilliCpu = MilliCpu(1_000_000_000_000);

    /// Reads `2`, `0.5`, `"2"`, `"500m"`, `"1k"`, `"1e2"`: Kubernetes' spellings of a CPU quantity.
    /// Finer than a milli-core is rounded up, as Kubernetes does.
    pub fn parse(value: &Value) -> Result<Self, CpuError> {
        match value {
            Value::Number(number) => Self::parse_text(&number.to_string()),
            Value::String(text) => Self::parse_text(text),
            _ => Err(CpuError::NotACpu),
        }
    }

    /// Reads the text of a CPU quantity; see [`MilliCpu::parse`].
    pub fn parse_text(text: &str) -> Result<Self, CpuError> {
        let text = text.trim();
        let (number, thousandths, divisor): (&str, u128, u128) =
            match text.char_indices().next_back() {
                Some((at, 'm')) => (text.split_at(at).0, 1, 1),
                Some((at, 'u')) => (text.split_at(at).0, 1, 1_000),
                Some((at, 'n')) => (text.split_at(at).0, 1, 1_000_000),
                Some((at, 'k')) => (text.split_at(at).0, 1_000_000, 1),
                Some((at, 'M')) => (text.split_at(at).0, 1_000_000_000, 1),
                _ => (text, 1_000, 1),
            };
        let decimal = Decimal::parse(number).map_err(|error| match error {
            DecimalError::NotANumber => CpuError::NotACpu,
            DecimalError::Negative => CpuError::Negative,
            DecimalError::TooLarge => CpuError::TooLarge,
        })?;
        let milli = decimal
            .times_rounded_up(thousandths)
            .ok_or(CpuError::TooLarge)?
            .div_ceil(divisor);
        let milli = u64::try_from(milli).map_err(|_| CpuError::TooLarge)?;
        if milli > Self::MAX_ACCEPTED.0 {
            Err(CpuError::TooLarge)
        } else {
            Ok(Self(milli))
        }
    }

    /// Sum, saturating.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Difference, at least zero.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// This figure `count` times, saturating.
    #[must_use]
    pub fn times(self, count: u64) -> Self {
        Self(self.0.saturating_mul(count))
    }
}

impl fmt::Display for MilliCpu {
    /// As people write it: `82`, `0.5`, `1.25`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 1000, self.0 % 1000);
        if rest == 0 {
            write!(f, "{whole}")
        } else {
            let fraction = format!("{rest:03}");
            write!(f, "{whole}.{}", fraction.trim_end_matches('0'))
        }
    }
}

impl std::iter::Sum for MilliCpu {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO, Self::plus)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_what_kubernetes_reads_exactly() {
        for (value, milli) in [
            (json!(2), 2000),
            (json!(0.1), 100),
            (json!(0.3), 300),
            (json!("500m"), 500),
            (json!("1.5"), 1500),
            (json!("0.0001"), 1),
            (json!("100u"), 1),
            (json!("1e2"), 100_000),
            (json!("1k"), 1_000_000),
            (json!(0), 0),
            (json!("-0"), 0),
            (json!(1.0), 1000),
        ] {
            assert_eq!(MilliCpu::parse(&value), Ok(MilliCpu(milli)), "{value}");
        }
    }

    #[test]
    fn refuses_the_rest_with_the_reason() {
        assert_eq!(MilliCpu::parse(&json!(-1)), Err(CpuError::Negative));
        for value in [
            json!("1e30"),
            json!(1e300),
            json!(u64::MAX),
            json!("99999999999999999999999999999999999"),
        ] {
            assert_eq!(MilliCpu::parse(&value), Err(CpuError::TooLarge), "{value}");
        }
        for value in [
            json!("NaN"),
            json!("two"),
            json!(""),
            json!("m"),
            json!(true),
            json!([]),
            json!("1 2"),
            json!("1e"),
            json!("٢"),
        ] {
            assert_eq!(MilliCpu::parse(&value), Err(CpuError::NotACpu), "{value}");
        }
    }

    #[test]
    fn shows_cpu_as_people_write_it() {
        for (milli, text) in [
            (82_000, "82"),
            (500, "0.5"),
            (1250, "1.25"),
            (1, "0.001"),
            (0, "0"),
        ] {
            assert_eq!(MilliCpu(milli).to_string(), text);
        }
    }
}
