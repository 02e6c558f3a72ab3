//! Sizes of memory as the operator reads them: Flink's own spelling first, then a Kubernetes quantity.
//!
//! This is stricter than [`crate::quantity::flink_memory`], which reads Sluice's own fields: here nothing may pass that
//! the operator cannot deploy, such as `1.5Gi`.

use super::amount::Amount;
use super::java;

/// Reads Flink's spelling: digits and a unit, all units binary (`2048m`, `2 g`, `1024`). Bytes.
pub(crate) fn flink(text: &str) -> Option<u64> {
    let text = java::trim(text);
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let value: i64 = number.parse().ok()?;
    let shift = match java::trim(unit).to_lowercase().as_str() {
        "" | "b" | "bytes" => 0,
        "k" | "kb" | "kibibytes" => 10,
        "m" | "mb" | "mebibytes" => 20,
        "g" | "gb" | "gibibytes" => 30,
        "t" | "tb" | "tebibytes" => 40,
        _ => return None,
    };
    let bytes = value.checked_mul(1_i64 << shift)?;
    Some(bytes.unsigned_abs())
}

/// Reads a memory field of a resource: Flink's spelling, else a Kubernetes quantity in any case that comes to a whole
/// number of bytes. Bytes.
pub(crate) fn resource(text: &str) -> Option<u64> {
    if let Some(bytes) = flink(text) {
        return Some(bytes);
    }
    let mut quantity: String = java::trim(text)
        .chars()
        .filter(|c| !matches!(c, ' ' | '\t' | '\n' | '\u{b}' | '\u{c}' | '\r'))
        .collect::<String>()
        .to_uppercase();
    if quantity.ends_with('B') {
        quantity.pop();
    }
    if quantity.ends_with('I') {
        quantity.pop();
        quantity.push('i');
    }
    Amount::parse(&quantity)?.printed_whole()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flink_first_then_kubernetes() {
        for (text, bytes) in [
            ("2048m", Some(2048 << 20)),
            ("2 g", Some(2 << 30)),
            ("1G", Some(1 << 30)),
            ("100", Some(100)),
            ("1000000 b", Some(1_000_000)),
            ("1Gi", Some(1 << 30)),
            ("2gib", Some(2 << 30)),
            ("1 KiB", Some(1024)),
            ("4e9", Some(4_000_000_000)),
            ("1P", Some(1_000_000_000_000_000)),
            ("1.5Gi", None),
            ("1.5g", None),
            ("1.0Gi", None),
            ("1E", None),
            ("1Ei", None),
            ("-2Gi", None),
            ("+2Gi", Some(2 << 30)),
            ("", None),
            ("  ", None),
            ("invalid", None),
            ("9223372036854775807", Some(9_223_372_036_854_775_807)),
            ("9223372036854775808", Some(9_223_372_036_854_775_808)),
            ("9999999t", None),
        ] {
            if text == "9223372036854775808" {
                continue; // beyond 63 bits; see below
            }
            assert_eq!(resource(text), bytes, "{text:?}");
        }
        assert_eq!(resource("9223372036854775808"), None);
    }
}
