//! Exact decimal numbers as people write them: digits, a point, an exponent. Enough for quantities, nothing more.

/// A non-negative decimal: `digits * 10^-scale`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    pub digits: u128,
    pub scale: i32,
}

/// Why a text is no decimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DecimalError {
    NotANumber,
    Negative,
    TooLarge,
}

impl Decimal {
    /// Reads `12`, `0.5`, `1e3`, `+2`. At most 30 significant digits; more are too large or too fine to mean anything.
    pub(super) fn parse(text: &str) -> Result<Self, DecimalError> {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(at) => {
                let (mantissa, exponent) = text.split_at(at);
                let exponent = exponent.get(1..).unwrap_or_default();
                let digits = exponent.trim_start_matches(['+', '-']);
                if digits.is_empty()
                    || exponent.len() > digits.len() + 1
                    || !digits.bytes().all(|b| b.is_ascii_digit())
                {
                    return Err(DecimalError::NotANumber);
                }
                (
                    mantissa,
                    exponent
                        .parse::<i32>()
                        .map_err(|_| DecimalError::TooLarge)?,
                )
            }
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        if whole.is_empty() && fraction.is_empty() {
            return Err(DecimalError::NotANumber);
        }
        let mut digits: u128 = 0;
        let mut scale: i32 = 0;
        for (byte, is_fraction) in whole
            .bytes()
            .map(|b| (b, false))
            .chain(fraction.bytes().map(|b| (b, true)))
        {
            if !byte.is_ascii_digit() {
                return Err(DecimalError::NotANumber);
            }
            digits = digits
                .checked_mul(10)
                .and_then(|digits| digits.checked_add(u128::from(byte - b'0')))
                .filter(|digits| *digits < 10_u128.pow(30))
                .ok_or(DecimalError::TooLarge)?;
            scale += i32::from(is_fraction);
        }
        if negative && digits != 0 {
            return Err(DecimalError::Negative);
        }
        Ok(Self {
            digits,
            scale: scale.saturating_sub(exponent),
        })
    }

    /// `self * factor`, rounded up to a whole number; `None` if it does not fit.
    pub(super) fn times_rounded_up(self, factor: u128) -> Option<u128> {
        let scaled = self.digits.checked_mul(factor)?;
        if scaled == 0 {
            return Some(0);
        }
        let magnitude = 10_u128.checked_pow(self.scale.unsigned_abs());
        if self.scale >= 0 {
            // Finer than we can count is still more than nothing.
            Some(magnitude.map_or(1, |magnitude| scaled.div_ceil(magnitude)))
        } else {
            scaled.checked_mul(magnitude?)
        }
    }
}
