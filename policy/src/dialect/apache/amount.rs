//! Kubernetes quantities as the operator's Kubernetes client reads them, which is not quite as Kubernetes does.

use crate::quantity::{CpuError, MilliCpu};

/// An amount with a unit. The digits are kept as written, as nothing may be lost in comparing them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Amount {
    negative: bool,
    /// Digits without a point.
    digits: String,
    /// Digits after the point.
    fraction: i32,
    unit: Unit,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Unit {
    /// A power of ten.
    Ten(i32),
    /// A power of two.
    Two(u32),
}

impl Amount {
    /// Reads `1`, `1.5`, `500m`, `2Gi`, `1e3`. `None`: not a quantity.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return None;
        }
        let at = text
            .find(['e', 'E', 'i', 'n', 'u', 'm', 'k', 'K', 'M', 'G', 'T', 'P'])
            .unwrap_or(text.len());
        let (number, unit) = text.split_at_checked(at)?;
        let unit = if unit.len() > 1 && unit.bytes().any(|b| b.is_ascii_digit()) {
            // The first letter is taken for an exponent's, whatever it is.
            let power: i32 = unit.get(1..)?.parse().ok()?;
            (power.unsigned_abs() <= 999_999_999).then_some(Unit::Ten(power))?
        } else {
            match unit {
                "" => Unit::Ten(0),
                "n" => Unit::Ten(-9),
                "u" => Unit::Ten(-6),
                "m" => Unit::Ten(-3),
                "k" => Unit::Ten(3),
                "M" => Unit::Ten(6),
                "G" => Unit::Ten(9),
                "T" => Unit::Ten(12),
                "P" => Unit::Ten(15),
                "E" => Unit::Ten(18),
                "Ki" => Unit::Two(10),
                "Mi" => Unit::Two(20),
                "Gi" => Unit::Two(30),
                "Ti" => Unit::Two(40),
                "Pi" => Unit::Two(50),
                "Ei" => Unit::Two(60),
                _ => return None,
            }
        };
        let negative = number.starts_with('-');
        let number = number.strip_prefix(['-', '+']).unwrap_or(number);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits: String = [whole, fraction].concat();
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        Some(Self {
            negative,
            fraction: i32::try_from(fraction.len()).ok()?,
            digits,
            unit,
        })
    }

    fn is_zero(&self) -> bool {
        self.digits.bytes().all(|b| b == b'0')
    }

    /// Whether it is more than nothing.
    pub(crate) fn is_positive(&self) -> bool {
        !self.negative && !self.is_zero()
    }

    /// Whether it is less than nothing.
    pub(crate) fn is_negative(&self) -> bool {
        self.negative && !self.is_zero()
    }

    /// The number, rounded to a floating point number: how the operator compares requests and limits.
    pub(crate) fn as_f64(&self) -> f64 {
        let (power, factor) = match self.unit {
            Unit::Ten(power) => (power, 1.0),
            Unit::Two(60) => (0, 1_152_921_504_606_847_000.0), // kept to 16 digits there
            Unit::Two(power) => (0, 2_f64.powi(power.cast_signed())),
        };
        let text = format!(
            "{}{}e{}",
            if self.negative { "-" } else { "" },
            self.digits,
            i64::from(power) - i64::from(self.fraction)
        );
        text.parse::<f64>().unwrap_or(f64::NAN) * factor
    }

    /// CPU in milli-cores, rounded up; nothing if it is not positive.
    pub(crate) fn milli_cpu(&self) -> Result<MilliCpu, CpuError> {
        if !self.is_positive() {
            return Ok(MilliCpu::ZERO);
        }
        let (power, factor) = match self.unit {
            Unit::Ten(power) => (power, 1),
            Unit::Two(power) => (0, 1_u64 << power.min(62)),
        };
        let power = i64::from(power) - i64::from(self.fraction);
        let power = i32::try_from(power).unwrap_or(if power < 0 { i32::MIN } else { i32::MAX });
        let digits = self.digits.trim_start_matches('0');
        let cpu = MilliCpu::parse_text(&format!("{digits}e{power}"))?.times(factor);
        if cpu > MilliCpu::MAX_ACCEPTED {
            Err(CpuError::TooLarge)
        } else {
            Ok(cpu)
        }
    }

    /// The number if its printed form is plain digits: the operator prints a quantity and reads the text again as a size,
    /// so `1.5Gi` (1610612736.0) and `1E` (1.000E+18) are lost on the way.
    pub(crate) fn printed_whole(&self) -> Option<u64> {
        if self.negative || self.fraction != 0 {
            return None;
        }
        let digits: u128 = if self.digits.len() > 30 {
            return None;
        } else {
            self.digits.parse().ok()?
        };
        let factor: u128 = match self.unit {
            Unit::Ten(power @ 0..=15) => 10_u128.pow(power.unsigned_abs()),
            Unit::Two(power @ 0..=50) => 1_u128 << power,
            Unit::Ten(_) | Unit::Two(_) => return None,
        };
        let bytes = digits.checked_mul(factor)?;
        i64::try_from(bytes).ok().map(i64::unsigned_abs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_and_their_signs() {
        for (text, positive) in [
            ("1", true),
            ("500m", true),
            ("2Gi", true),
            ("1e3", true),
            ("1E", true),
            (".5", true),
            ("5.", true),
            ("0", false),
            ("-1", false),
            ("-0.0", false),
        ] {
            let amount = Amount::parse(text).unwrap();
            assert_eq!(amount.is_positive(), positive, "{text}");
        }
        for text in [
            "", "abc", "1K", "1x", "1 ", " 1", "1e", "e3", "1.2.3", "m", "1Mi2i", "notacpu",
        ] {
            assert_eq!(Amount::parse(text), None, "{text}");
        }
        assert!(Amount::parse("-5Gi").unwrap().is_negative());
    }

    #[test]
    fn cpu_is_exact() {
        for (text, milli) in [
            ("1", 1000),
            ("500m", 500),
            ("0.1", 100),
            ("1e1", 10_000),
            ("1Ki", 1_024_000),
            ("-1", 0),
        ] {
            assert_eq!(
                Amount::parse(text).unwrap().milli_cpu(),
                Ok(MilliCpu(milli)),
                "{text}"
            );
        }
        assert_eq!(
            Amount::parse("1e999999").unwrap().milli_cpu(),
            Err(CpuError::TooLarge)
        );
    }

    #[test]
    fn requests_and_limits_compare_across_units() {
        let value = |text| Amount::parse(text).unwrap().as_f64();
        assert!(value("1000m") > value("500m"));
        assert!(value("1") <= value("1000m"));
        assert!(value("1.5") > value("1400m"));
    }
}
