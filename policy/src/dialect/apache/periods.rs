//! Excluded periods of the autoscaler: daily ranges and cron expressions, at most one of each joined by `&&`.

use super::cron;

/// Every second, minute, hour, day, month and year by its number takes a third of it.
const LONGEST: usize = 4096;

/// Judges one expression of the list; an error says what is wrong.
pub(crate) fn judge(expression: &str) -> Result<(), &'static str> {
    if expression.len() > LONGEST {
        return Err("is longer than any expression has to be");
    }
    let mut parts: Vec<&str> = expression.split("&&").collect();
    // Empty parts at the end do not count, but an expression that is empty as a whole does.
    while expression.contains("&&") && parts.last() == Some(&"") {
        parts.pop();
    }
    if parts.len() > 2 {
        return Err("joins more than two expressions");
    }
    let mut daily = false;
    let mut cron = false;
    for part in &parts {
        let part = part.trim();
        let (is_daily, is_cron) = (is_daily_range(part), cron::is_valid(part));
        if !is_daily && !is_cron {
            return Err("is neither a daily range nor a Quartz cron expression");
        }
        daily |= is_daily;
        cron |= is_cron;
    }
    if parts.len() == 2 && !(daily && cron) {
        return Err("joins two of the same kind");
    }
    Ok(())
}

/// `9:30-11:00`, `09:30:00-11:00:15:500`: the start lies before the end.
fn is_daily_range(text: &str) -> bool {
    let mut ends: Vec<&str> = text.split('-').collect();
    while ends.last() == Some(&"") {
        ends.pop();
    }
    let [start, end] = ends.as_slice() else {
        return false;
    };
    matches!((time(start), time(end)), (Some(start), Some(end)) if start < end)
}

fn time(text: &str) -> Option<[i32; 4]> {
    let parts: Vec<&str> = text.split(':').filter(|part| !part.is_empty()).collect();
    if parts.len() < 2 || parts.len() > 4 {
        return None;
    }
    let mut time = [0; 4];
    for ((slot, part), limit) in time.iter_mut().zip(parts).zip([23, 59, 59, 999]) {
        let value = super::java::int(part)?;
        if !(0..=limit).contains(&value) {
            return None;
        }
        *slot = value;
    }
    Some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_crons_and_pairs() {
        for text in [
            "09:13:17-11:15:18",
            "9:30-11:00",
            "0:00-23:59:59:999",
            "* * * ? * 2,5",
            "* * * ? * 2,5 && 14:01:20-16:00:00",
            "14:01-16:00 && * * * ? * 2,5",
            "* * 9-11 * * ?",
        ] {
            assert_eq!(judge(text), Ok(()), "{text}");
        }
        for text in [
            "12:00-10:00",
            "10:00-10:00",
            "09:13:17-25:15:18",
            "09:60-10:00",
            "9-10",
            "9:00",
            "",
            "9:00-10:00-11:00",
            "09:00-10:00 && 11:00-12:00",
            "* * * ? * 2 && * * 11-13 * * ?",
            "9:00-10:00 && * * * ? * 2 && x",
            "* * * ? * 2,5555",
            "* * * ? * 2,5 && 18:01:20-16:00:00",
            "9:00:00:1000-10:00",
        ] {
            assert!(judge(text).is_err(), "{text}");
        }
    }
}
