//! Numbers and texts as the operator's runtime reads them. It is Java, and what it accepts is part of the rules: a
//! value that it cannot read fails the operator's own webhook, one that it can must not be refused here.

/// Text without the characters up to and including the space at both ends.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c <= ' ')
}

/// Whether nothing but white space is there.
pub(crate) fn is_blank(text: &str) -> bool {
    text.chars().all(char::is_whitespace)
}

/// A 32 bit number: sign and digits, nothing around them.
pub(crate) fn int(text: &str) -> Option<i32> {
    text.parse().ok()
}

/// `true` or `false` in any case, nothing around it.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// A floating point number: blanks around it, a sign, `NaN`, `Infinity`, a trailing `d` or `f` are all fine.
/// Hexadecimal numbers are not read.
pub(crate) fn double(text: &str) -> Option<f64> {
    decimal_text(text)?.parse().ok()
}

/// The part of a floating point number that other decimal parsers understand as well.
pub(crate) fn decimal_text(text: &str) -> Option<&str> {
    let text = trim(text);
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if unsigned == "NaN" || unsigned == "Infinity" {
        return Some(text);
    }
    let text = text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text);
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let plain = unsigned
        .bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    let has_digit = unsigned
        .bytes()
        .take_while(|b| !matches!(b, b'e' | b'E'))
        .any(|b| b.is_ascii_digit());
    (plain && has_digit).then_some(text)
}

/// A length of time in nanoseconds: digits and a unit, milliseconds without one (`5 min`, `30s`, `1000`).
pub(crate) fn duration_nanos(text: &str) -> Option<u128> {
    let text = trim(text);
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let value: i64 = number.parse().ok()?;
    let nanos: u64 = match trim(unit).to_lowercase().as_str() {
        "ns" | "nano" | "nanos" | "nanosecond" | "nanoseconds" => 1,
        "µs" | "micro" | "micros" | "microsecond" | "microseconds" => 1_000,
        "" | "ms" | "milli" | "millis" | "millisecond" | "milliseconds" => 1_000_000,
        "s" | "sec" | "secs" | "second" | "seconds" => 1_000_000_000,
        "m" | "min" | "minute" | "minutes" => 60_000_000_000,
        "h" | "hour" | "hours" => 3_600_000_000_000,
        "d" | "day" | "days" => 86_400_000_000_000,
        _ => return None,
    };
    let nanos = u128::from(value.unsigned_abs()).checked_mul(u128::from(nanos))?;
    // A Duration counts seconds in 64 bits.
    (nanos / 1_000_000_000 <= u128::from(i64::MAX.unsigned_abs())).then_some(nanos)
}

/// A list with more parts than this is not read: no option has as many, and each takes many times the byte that divides it from the next.
pub(crate) const MOST_PARTS: usize = 10_000;

/// Splits a list at a delimiter. Parts may be quoted with `'` or `"`, a doubled quote stands for itself; blanks around
/// parts do not count; nothing between two delimiters is an empty part. `None`: the quoting is broken, or there are more
/// than [`MOST_PARTS`].
pub(crate) fn split_list(text: &str, delimiter: char) -> Option<Vec<String>> {
    #[derive(PartialEq)]
    enum Before {
        Start,
        Delimiter,
        Quoted,
        Plain,
    }
    let mut parts = Vec::new();
    let mut before = Before::Start;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after = rest.get(c.len_utf8()..)?;
        if parts.len() > MOST_PARTS {
            return None;
        }
        if c == delimiter {
            if before == Before::Delimiter {
                parts.push(String::new());
            }
            before = Before::Delimiter;
            rest = after;
        } else if c.is_whitespace() && !(c == '\'' || c == '"') {
            rest = after;
        } else if before == Before::Quoted {
            return None;
        } else if c == '\'' || c == '"' {
            let (part, after) = quoted(after, c)?;
            parts.push(part);
            before = Before::Quoted;
            rest = after;
        } else {
            let end = rest.find(delimiter).unwrap_or(rest.len());
            let (part, after) = rest.split_at_checked(end)?;
            parts.push(trim(part).to_owned());
            before = Before::Plain;
            rest = after;
        }
    }
    Some(parts)
}

fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut part = String::new();
    let mut rest = text;
    loop {
        let end = rest.find(quote)?;
        part.push_str(rest.get(..end)?);
        rest = rest.get(end + quote.len_utf8()..)?;
        match rest.strip_prefix(quote) {
            Some(more) => {
                part.push(quote);
                rest = more;
            }
            None => return Some((part, rest)),
        }
    }
}

/// A list value: a YAML list (`[https, s3]`, or a line `- https` each) or parts between semicolons.
pub(crate) fn list(text: &str) -> Option<Vec<String>> {
    let trimmed = text.trim();
    if trimmed.starts_with("- ") && trimmed.lines().nth(MOST_PARTS).is_none() {
        let lines = trimmed.lines().filter(|line| !is_blank(line));
        let items: Option<Vec<Vec<String>>> = lines
            .map(|line| split_list(line.trim().strip_prefix("- ")?, '\n'))
            .collect();
        if let Some(items) = items {
            return Some(items.concat());
        }
    }
    if let Some(inner) = trimmed
        .strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'))
        && let Some(parts) = split_list(inner, ',')
    {
        return Some(parts);
    }
    split_list(text, ';')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_java_reads_them() {
        for (text, value) in [
            ("0.7", Some(0.7)),
            (" 1 ", Some(1.0)),
            ("1d", Some(1.0)),
            ("1.5f", Some(1.5)),
            ("-1e3", Some(-1000.0)),
            (".5", Some(0.5)),
            ("5.", Some(5.0)),
            ("Infinity", Some(f64::INFINITY)),
            ("", None),
            ("abc", None),
            ("inf", None),
            ("nan", None),
            ("1,5", None),
            ("1e", None),
            ("e5", None),
            ("1_0", None),
        ] {
            assert_eq!(double(text), value, "{text}");
        }
        assert!(double("NaN").is_some_and(f64::is_nan));
        assert_eq!(int("+3"), Some(3));
        assert_eq!(int(" 3"), None);
        assert_eq!(boolean("TRUE"), Some(true));
        assert_eq!(boolean("yes"), None);
        assert_eq!(boolean(" true"), None);
    }

    #[test]
    fn durations_need_a_known_unit() {
        for (text, seconds) in [
            ("60s", Some(60)),
            ("1 min", Some(60)),
            ("5m", Some(300)),
            ("60000", Some(60)),
            ("1 H", Some(3600)),
            ("2 days", Some(172_800)),
            ("PT1M", None),
            ("-1s", None),
            ("1.5s", None),
            ("", None),
            ("1 week", None),
        ] {
            assert_eq!(
                duration_nanos(text).map(|nanos| nanos / 1_000_000_000),
                seconds,
                "{text}"
            );
        }
    }

    #[test]
    fn lists_may_be_quoted() {
        assert_eq!(split_list("a; b ;c", ';').unwrap(), ["a", "b", "c"]);
        assert_eq!(split_list("'a;b';c", ';').unwrap(), ["a;b", "c"]);
        assert_eq!(split_list("'a''b'", ';').unwrap(), ["a'b"]);
        assert_eq!(split_list("a;;b;", ';').unwrap(), ["a", "", "b"]);
        assert_eq!(split_list("'a'b", ';'), None);
        assert_eq!(split_list("'a", ';'), None);
        assert_eq!(list("[https, 's3']").unwrap(), ["https", "s3"]);
        assert!(list("").unwrap().is_empty());
    }
}
