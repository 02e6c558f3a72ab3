//! Whether a text is a cron expression of Quartz 2.4, the library that the operator reads it with.
//!
//! Six or seven fields: second, minute, hour, day of month, month, day of week and year. Its reader is lenient in odd
//! places (what follows some complete forms is not looked at); those are kept, so that nothing is refused that runs.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Second,
    Minute,
    Hour,
    DayOfMonth,
    Month,
    DayOfWeek,
    Year,
}

const FIELDS: [Field; 7] = [
    Field::Second,
    Field::Minute,
    Field::Hour,
    Field::DayOfMonth,
    Field::Month,
    Field::DayOfWeek,
    Field::Year,
];

const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// What the fields of days hold, as far as it matters for the others.
#[derive(Default)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "marks that are set on the way, no states"
)]
struct Seen {
    /// Whether day of month is left open with `?`.
    month_day_is_open: bool,
    /// Whether day of week is.
    week_day_is_open: bool,
    /// Whether day of month has any value, and whether it is counted from the end of the month.
    has_month_day: bool,
    from_the_end: bool,
}

/// What `?` and `*` count as among the values.
const UNSPECIFIED: i64 = 98;
const ALL: i64 = 99;

/// Whether Quartz reads it.
pub(crate) fn is_valid(expression: &str) -> bool {
    let upper = expression.to_uppercase();
    // What follows the seventh field is not looked at.
    let fields: Vec<&str> = upper
        .split([' ', '\t'])
        .filter(|field| !field.is_empty())
        .take(FIELDS.len())
        .collect();
    if fields.len() < 6 {
        return false;
    }
    let mut seen = Seen::default();
    for (field, text) in FIELDS.into_iter().zip(&fields) {
        if reads(field, text, &mut seen).is_none() {
            return false;
        }
    }
    // Exactly one of day of month and day of week is left open.
    seen.month_day_is_open != seen.week_day_is_open
}

fn reads(field: Field, text: &str, seen: &mut Seen) -> Option<()> {
    let is_of_days = matches!(field, Field::DayOfMonth | Field::DayOfWeek);
    if is_of_days && text.len() > 1 && text.contains('L') && text.contains(',') {
        return None;
    }
    if field == Field::DayOfWeek && text.matches('#').count() > 1 {
        return None;
    }
    text.split(',')
        .filter(|part| !part.is_empty())
        .try_for_each(|part| term(field, part, seen))
}

fn term(field: Field, text: &str, seen: &mut Seen) -> Option<()> {
    let first = text.bytes().next()?;
    let is_last_day = text == "L" || text == "LW" || is_offset_of_last_day(text);
    match first {
        b'A'..=b'Z' if !is_last_day => name(field, text, seen),
        b'?' => {
            if text.len() > 2 && text.as_bytes().get(1) != Some(&b' ') {
                return None;
            }
            let fits = match field {
                Field::DayOfMonth => true,
                Field::DayOfWeek => seen.from_the_end || seen.has_month_day,
                _ => false,
            };
            if !fits {
                return None;
            }
            add(field, UNSPECIFIED, -1, 0, seen)
        }
        b'*' | b'/' => star(field, text, seen),
        b'L' => last_day(field, text, seen),
        b'0'..=b'9' => number(field, text, seen),
        _ => None,
    }
}

fn is_offset_of_last_day(text: &str) -> bool {
    text.strip_prefix("L-")
        .map(|rest| rest.strip_suffix('W').unwrap_or(rest))
        .is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()))
}

/// `MON`, `MON-FRI`, `MON#2`, `FRIL`, `JAN-MAR`.
fn name(field: Field, text: &str, seen: &mut Seen) -> Option<()> {
    let read = |name: &str| -> Option<i64> {
        let position = match field {
            Field::Month => MONTHS.iter().position(|known| *known == name),
            Field::DayOfWeek => DAYS.iter().position(|known| *known == name),
            _ => None,
        };
        i64::try_from(position?).ok().map(|position| position + 1)
    };
    let start = read(text.get(..3)?)?;
    let rest = text.get(3..)?;
    let mut end = -1;
    if let Some(after) = rest.strip_prefix('-') {
        end = read(after.get(..3)?)?;
    } else if let (Field::DayOfWeek, Some(nth)) = (field, rest.strip_prefix('#')) {
        nth_day(nth)?;
    }
    add(field, start, end, i64::from(end != -1), seen)
}

fn nth_day(text: &str) -> Option<()> {
    let nth: i32 = text.parse().ok()?;
    (1..=5).contains(&nth).then_some(())
}

/// `*`, `*/5`, `/5`.
fn star(field: Field, text: &str, seen: &mut Seen) -> Option<()> {
    if text == "*" {
        return add(field, ALL, -1, 0, seen);
    }
    let rest = text.strip_prefix('*').unwrap_or(text);
    let increment = match rest.strip_prefix('/') {
        Some("") => return None,
        Some(increment) => {
            let increment = parse_int(increment)?;
            increment_fits(field, increment)?;
            increment
        }
        None => 1, // what follows the star is not looked at
    };
    add(field, ALL, -1, increment, seen)
}

/// `L`, `L-3`, `LW`, `L-3W`. Outside the two fields of days an `L` is read over.
fn last_day(field: Field, text: &str, seen: &mut Seen) -> Option<()> {
    match field {
        Field::DayOfWeek => add(field, 7, 7, 0, seen),
        Field::DayOfMonth => {
            let rest = text.get(1..)?;
            if let Some(offset) = rest.strip_prefix('-') {
                let digits: String = offset.chars().take_while(char::is_ascii_digit).collect();
                // Without a digit behind the dash the reader runs off the text or takes 0.
                let offset = if offset.is_empty() {
                    return None;
                } else {
                    parse_int(&format!("0{digits}"))?
                };
                if offset > 30 {
                    return None;
                }
            }
            seen.from_the_end = true;
            Some(())
        }
        _ => Some(()),
    }
}

/// `5`, `5-7`, `5-7/2`, `5/10`, `6L`, `6#3`, `15W`.
fn number(field: Field, text: &str, seen: &mut Seen) -> Option<()> {
    let (value, rest) = leading_number(text)?;
    let Some(next) = rest.chars().next() else {
        return add(field, value, -1, -1, seen);
    };
    let after = rest.get(next.len_utf8()..)?;
    match next {
        'L' => (field == Field::DayOfWeek && (1..=7).contains(&value)).then_some(()),
        'W' if field == Field::DayOfMonth && value <= 31 => {
            seen.has_month_day = true;
            Some(())
        }
        '#' if field == Field::DayOfWeek => {
            seen.week_day_is_open |= value == UNSPECIFIED;
            nth_day(after)
        }
        'W' | '#' => None,
        '-' => range(field, value, after, seen),
        '/' => {
            let (increment, tail) = leading_number(after)?;
            // One digit with something else behind it is refused, several are not.
            let digits = after.len() - tail.len();
            if !tail.is_empty() && digits == 1 {
                return None;
            }
            increment_fits(field, increment)?;
            add(field, value, -1, increment, seen)
        }
        _ => add(field, value, -1, 0, seen), // what follows is not looked at
    }
}

fn range(field: Field, start: i64, text: &str, seen: &mut Seen) -> Option<()> {
    let (end, rest) = leading_number(text)?;
    let increment = match rest.strip_prefix('/') {
        Some(increment) => leading_number(increment)?.0,
        None => 1,
    };
    add(field, start, end, increment, seen)
}

/// The digits at the start; `None` without any, or beyond 32 bits.
fn leading_number(text: &str) -> Option<(i64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at_checked(digits)?;
    Some((parse_int(number)?, rest))
}

fn parse_int(text: &str) -> Option<i64> {
    super::java::int(text).map(i64::from)
}

fn increment_fits(field: Field, increment: i64) -> Option<()> {
    let limit = match field {
        Field::Second | Field::Minute => 59,
        Field::Hour => 23,
        Field::DayOfMonth => 31,
        Field::DayOfWeek => 7,
        Field::Month => 12,
        Field::Year => i64::MAX,
    };
    (increment <= limit).then_some(())
}

/// Checks bounds and what a range comes to.
fn add(field: Field, value: i64, end: i64, increment: i64, seen: &mut Seen) -> Option<()> {
    let (lowest, highest) = match field {
        Field::Second | Field::Minute => (0, 59),
        Field::Hour => (0, 23),
        Field::DayOfMonth => (1, 31),
        Field::Month => (1, 12),
        Field::DayOfWeek => (1, 7),
        Field::Year => (i64::MIN, i64::MAX),
    };
    let open = value == ALL
        || (value == UNSPECIFIED && matches!(field, Field::DayOfMonth | Field::DayOfWeek));
    if !open && (value < lowest || value > highest || end > highest) {
        return None;
    }
    let is_single = (increment == 0 || increment == -1) && value != ALL;
    if field == Field::DayOfMonth {
        // A range from the mark of an open field comes to nothing.
        seen.has_month_day |= is_single || value != UNSPECIFIED;
        seen.month_day_is_open |= is_single && value == UNSPECIFIED;
    }
    if field == Field::DayOfWeek {
        seen.week_day_is_open |= is_single && value == UNSPECIFIED;
    }
    if is_single {
        return Some(());
    }
    // A year cannot run over into the next, and nothing moves on by nothing.
    if field == Field::Year && end != -1 && end < value && value != ALL {
        return None;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_that_quartz_reads() {
        for text in [
            "* * * ? * 2-6",
            "* * 9-11,14-16 * * ?",
            "0 0 12 * * ?",
            "0 15 10 ? * MON-FRI",
            "0 15 10 ? * 6L",
            "0 15 10 ? * 6#3",
            "0 15 10 L * ?",
            "0 15 10 L-2 * ?",
            "0 15 10 LW * ?",
            "0 15 10 15W * ?",
            "0 0/5 14 * * ?",
            "0 0 0 1 JAN ? 2030",
            "0 0 12 1/5 * ?",
            "*/5 * * * * ?",
            "0 0 22-2 * * ?",
            "0 11 11 11 11 ?",
            "0 0 0 ? * fri",
            "0 0 12 ? * SUN#1",
            "0  0 12\t* * ?",
            "0 0 12 * * ? *",
            "0 0 12 * * ? 2020-2030",
            "* * * * * ? * and more",
        ] {
            assert!(is_valid(text), "{text}");
        }
    }

    #[test]
    fn expressions_that_it_does_not_read() {
        for text in [
            "",
            "* * * * *",
            "* * * * * *",
            "* * * ? * ?",
            "* * * ? * 2,5555",
            "60 * * * * ?",
            "* 60 * * * ?",
            "* * 24 * * ?",
            "* * * 32 * ?",
            "* * * 0 * ?",
            "* * * * 13 ?",
            "* * * ? * 8",
            "* * * ? * 0",
            "* * * ? * MOX",
            "* * * * FOO ?",
            "0/60 * * * * ?",
            "* * 0/24 * * ?",
            "? * * * * ?",
            "* * * ? * 2L,3",
            "* * * ? * 2#1#2",
            "* * * ? * 2#6",
            "* * * * * ? 2030-2020",
            "a b c d e f",
            "* * * L-31 * ?",
            "12:00-10:00",
            "0 0/ 1 * * ?",
            "5L * * * * ?",
            "* * 5W * * ?",
            "0 0 12 , * ?",
            "0 0 12 1,L * ?",
            "0 0 12 ? * 98",
        ] {
            assert!(!is_valid(text), "{text}");
        }
    }
}
