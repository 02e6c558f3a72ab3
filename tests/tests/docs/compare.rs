//! Whether an output is what a page shows.

const ELLIPSIS: &str = "…";

/// Whether `printed` fits what is `shown`. Columns are as wide as their longest cell, which may differ from run to run, so two
/// spaces or more inside of a line are worth two; indentation counts.
pub fn fits(shown: &str, printed: &str) -> bool {
    let shown: Vec<String> = shown.lines().map(squeezed).collect();
    let printed: Vec<String> = printed.lines().map(squeezed).collect();
    lines_fit(&shown, &printed)
}

fn lines_fit(shown: &[String], printed: &[String]) -> bool {
    match shown.split_first() {
        None => printed.is_empty(),
        Some((first, rest)) if first == ELLIPSIS => {
            (0..=printed.len()).any(|skipped| lines_fit(rest, &printed[skipped..]))
        }
        Some((first, rest)) => printed
            .split_first()
            .is_some_and(|(line, others)| line_fits(first, line) && lines_fit(rest, others)),
    }
}

fn line_fits(shown: &str, printed: &str) -> bool {
    let mut parts = shown.split(ELLIPSIS);
    let first = parts.next().unwrap();
    let Some(mut left) = printed.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return left.is_empty();
    };
    for part in middle {
        // At least one character is left out.
        let Some((skip, _)) = left.char_indices().nth(1) else {
            return false;
        };
        let Some(found) = left[skip..].find(part) else {
            return false;
        };
        left = &left[skip + found + part.len()..];
    }
    left.len() > last.len() && left.ends_with(last)
}

fn squeezed(line: &str) -> String {
    let line = line.trim_end();
    let content = line.trim_start();
    let mut squeezed = line[..line.len() - content.len()].to_owned();
    let mut spaces = 0;
    for c in content.chars() {
        spaces = if c == ' ' { spaces + 1 } else { 0 };
        if spaces < 3 {
            squeezed.push(c);
        }
    }
    squeezed
}

/// What the page should show: its own lines where they fit, so that what it leaves out stays left out.
pub fn merged(shown: &str, printed: &str) -> String {
    let shown: Vec<&str> = shown.lines().collect();
    let mut merged = String::new();
    for (number, line) in printed.lines().enumerate() {
        let kept = shown
            .iter()
            .filter(|text| text.contains(ELLIPSIS) && text.trim() != ELLIPSIS)
            .find(|text| line_fits(&squeezed(text), &squeezed(line)))
            .or_else(|| {
                shown
                    .get(number)
                    .filter(|text| squeezed(text) == squeezed(line))
            });
        merged.push_str(kept.copied().unwrap_or(line).trim_end());
        merged.push('\n');
    }
    merged
}

#[test]
fn what_is_left_out_may_be_anything_and_nothing_else() {
    assert!(fits("a\nb\n", "a\nb"));
    assert!(!fits("a\nb\n", "a\n"));
    assert!(!fits("a\n", "a\nb\n"));
    assert!(fits("after … s; go\n", "after 6.8 s; go\n"));
    assert!(!fits("after … s; go\n", "after  s; stop\n"));
    assert!(fits("a…\n", "abc\n") && !fits("a…\n", "a\n"));
    assert!(fits("a\n…\nd\n", "a\nb\nc\nd\n") && fits("a\n…\nd\n", "a\nd\n"));
    assert!(!fits("a\n…\nd\n", "a\nb\n"));
    assert!(fits("NAME   AGE\nx      …\n", "NAME    AGE\nx       12s\n"));
    assert!(!fits("  a: 1\n", "a: 1\n"));
    assert!(!fits("a b\n", "a  b\n"));
}
