//! What an unquoted word means: as kubectl reads it, since that is how a manifest reaches the API server.
//!
//! kubectl's YAML is 1.1 with leniencies: `on` and `y` are booleans, `010` is eight, `1_000` a number, and `1.0` goes
//! over the wire as `1`.

use serde_json::{Number, Value};

/// A word that JSON cannot hold: `.nan`, `.inf`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoJson;

/// The meaning of an unquoted word; `None`: it is text.
pub fn meaning(word: &str) -> Result<Option<Value>, NoJson> {
    let value = match word {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Value::Bool(true)
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Value::Bool(false)
        }
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF"
        | "-.inf" | "-.Inf" | "-.INF" => return Err(NoJson),
        word => return Ok(number(word).map(Value::Number)),
    };
    Ok(Some(value))
}

/// A number in any of the spellings of YAML 1.1 and 1.2 but sexagesimal. What overflows is text, as it is to kubectl.
fn number(word: &str) -> Option<Number> {
    if !word.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return None;
    }
    let plain = word.replace('_', "");
    integer(&plain).or_else(|| float(&plain))
}

fn integer(word: &str) -> Option<Number> {
    let (sign, digits) = match word.as_bytes().first()? {
        b'-' => ("-", word.get(1..)?),
        b'+' => ("", word.get(1..)?),
        _ => ("", word),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, digits.get(2..)?),
        [b'0', b'o' | b'O', ..] => (8, digits.get(2..)?),
        [b'0', b'b' | b'B', ..] => (2, digits.get(2..)?),
        [b'0', _, ..] => (8, digits.get(1..)?),
        _ => (10, digits),
    };
    if !digits.starts_with(|c: char| c.is_ascii_hexdigit()) {
        return None;
    }
    let signed = i64::from_str_radix(&format!("{sign}{digits}"), radix)
        .ok()
        .map(Number::from);
    signed.or_else(|| {
        (sign.is_empty())
            .then(|| u64::from_str_radix(digits, radix).ok())?
            .map(Number::from)
    })
}

fn float(word: &str) -> Option<Number> {
    // Rust reads more than YAML does ("inf", "nan"); digits, one dot, an exponent is all there is.
    let mut rest = word.strip_prefix(['-', '+']).unwrap_or(word);
    let mut digits = 0;
    let mut dot = false;
    while let Some(c) = rest.chars().next() {
        match c {
            '0'..='9' => digits += 1,
            '.' if !dot => dot = true,
            _ => break,
        }
        rest = rest.get(1..)?;
    }
    if digits == 0 {
        return None;
    }
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        if exponent.is_empty() || !exponent.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
    } else if !rest.is_empty() {
        return None;
    }
    let value: f64 = word.parse().ok()?;
    whole(value).or_else(|| Number::from_f64(value))
}

/// Go writes the float 1.0 as `1`; so that is what the API server sees.
fn whole(value: f64) -> Option<Number> {
    const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53: beyond it Go's digits and ours could differ
    if value.fract() == 0.0 && value.abs() <= EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
        return Some(Number::from(value as i64));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn words_mean_what_they_mean_to_kubectl() {
        for (word, expected) in [
            ("", json!(null)),
            ("~", json!(null)),
            ("Null", json!(null)),
            ("yes", json!(true)),
            ("N", json!(false)),
            ("1.10", json!(1.1)),
            ("1.0", json!(1)),
            ("-0", json!(0)),
            ("+7", json!(7)),
            ("010", json!(8)),
            ("0o17", json!(15)),
            ("0x1F", json!(31)),
            ("0b101", json!(5)),
            ("1_000", json!(1000)),
            ("1e3", json!(1000)),
            (".5", json!(0.5)),
            ("5.", json!(5)),
            (
                "18446744073709551615",
                json!(18_446_744_073_709_551_615_u64),
            ),
            ("1e300", json!(1e300)),
        ] {
            assert_eq!(meaning(word), Ok(Some(expected)), "{word}");
        }
    }

    #[test]
    fn what_only_looks_like_a_word_is_text() {
        for word in [
            "1.12.0",
            "v1",
            "1e400",
            "2001-12-14",
            "-",
            "+",
            ".",
            "..",
            "1e",
            "0x",
            "0xg",
            "1.2.3",
            "yEs",
            "nan",
            "inf",
            "-inf",
            "1-2",
            "0x-5",
            "--5",
            "-+5",
            "12:30:45",
            "1Gi",
            "500m",
            "_1",
        ] {
            assert_eq!(meaning(word), Ok(None), "{word}");
        }
    }

    #[test]
    fn json_has_no_infinity() {
        assert_eq!(meaning(".nan"), Err(NoJson));
        assert_eq!(meaning("-.inf"), Err(NoJson));
    }
}
