//! A line of arguments as words, and words as Kubernetes hands them on unchanged.

use std::borrow::Cow;

/// Splits a line at blanks as a shell does, with its quotation marks and backslashes, but for comments: nothing that somebody wrote is dropped
/// without a word, so `#` is a character like others. `None` where a quotation mark is not closed.
pub fn split(line: &str) -> Option<Vec<String>> {
    if !line.contains('#') {
        return shlex::split(line);
    }
    let stand_in = ('\u{E000}'..='\u{F8FF}').find(|one| !line.contains(*one))?;
    let words = shlex::split(&line.replace('#', stand_in.encode_utf8(&mut [0; 4])))?;
    let restored = words.into_iter().map(|word| word.replace(stand_in, "#"));
    Some(restored.collect())
}

/// A word of `args` or `command` that Kubernetes is to take literally: it makes `$$` one `$`, and `$(NAME)` a variable.
pub fn literal(word: &str) -> Cow<'_, str> {
    if word.contains('$') {
        Cow::Owned(word.replace('$', "$$"))
    } else {
        Cow::Borrowed(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_split_as_a_shell_does_and_nothing_is_dropped() {
        let words = split(r#"--channel #alerts 'a #b' c\ d "e""#).unwrap();
        assert_eq!(words, ["--channel", "#alerts", "a #b", "c d", "e"]);
        assert_eq!(
            split("a\u{E000} #b").unwrap(),
            ["a\u{E000}", "#b"],
            "whatever the line holds"
        );
        assert_eq!(split("# it's"), None);
    }

    #[test]
    fn dollars_are_doubled() {
        assert_eq!(literal("^a$$(X)$"), "^a$$$$(X)$$");
        assert_eq!(literal("a"), "a");
    }
}
