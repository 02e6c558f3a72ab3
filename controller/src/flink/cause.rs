//! A Java stack trace made one sentence: the exceptions that say something, without frames and wrappers.

/// Longest sentence, in characters; conditions and Events are read by people.
pub const LONGEST: usize = 600;

/// Exceptions that only carry others, by class; where such a one is all there is, it is shown.
const WRAPPERS: [&str; 12] = [
    "CompletionException",
    "ExecutionException",
    "RestHandlerException",
    "FlinkRuntimeException",
    "ProgramInvocationException",
    "FlinkException",
    "JobException",
    "JobExecutionException",
    "JobInitializationException",
    "JobSubmissionException",
    "SerializedThrowable",
    "InvocationTargetException",
];

/// The root cause told by Flink's text: `IllegalStateException: no input (caused by IOException: disk on fire)`. At most the
/// two innermost exceptions that say something.
pub fn root_cause(trace: &str) -> String {
    let chain: Vec<String> = causes(trace);
    let telling: Vec<&String> = chain
        .iter()
        .filter(|cause| !WRAPPERS.contains(&class_of(cause)))
        .collect();
    let text = match telling.as_slice() {
        [] => chain
            .last()
            .cloned()
            .unwrap_or_else(|| "Flink gives no reason".to_owned()),
        [only] => (*only).clone(),
        [.., outer, root] => format!("{outer} (caused by {root})"),
    };
    shorten(&text, LONGEST)
}

/// Whether an exception of this class is anywhere in the trace.
pub fn mentions(trace: &str, class: &str) -> bool {
    causes(trace).iter().any(|cause| class_of(cause) == class)
}

/// The exceptions from the outermost to the root, each as `Class: message`.
fn causes(trace: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for line in trace.lines() {
        let is_frame =
            line.trim_start().starts_with("at ") && line.starts_with(char::is_whitespace);
        let line = line.trim();
        if is_frame
            || line.is_empty()
            || line.starts_with("... ")
            || line.starts_with("<Exception on server side")
            || line.starts_with("End of exception on server side")
        {
            continue;
        }
        if let Some(cause) = line.strip_prefix("Caused by: ") {
            found.push(without_packages(cause));
        } else if found.is_empty() {
            found.push(without_packages(line));
        } else if let Some(last) = found.last_mut().filter(|last| last.len() < LONGEST) {
            // A message of several lines.
            last.push(' ');
            last.push_str(line);
        }
    }
    // `A: B: message` where B is the next one in the chain would say everything twice.
    found.dedup();
    found
}

/// `java.util.concurrent.CompletionException: a.b.C: text` as `C: text`: packages go, and wrappers that repeat their cause.
fn without_packages(text: &str) -> String {
    let mut rest = text;
    let mut class = "";
    while let Some((first, after)) = split_class(rest) {
        class = first;
        rest = after;
        if !WRAPPERS.contains(&class) {
            break;
        }
    }
    let rest = rest.trim();
    match (class, rest) {
        ("", rest) => rest.to_owned(),
        (class, "") => class.to_owned(),
        (class, rest) => format!("{class}: {rest}"),
    }
}

/// Splits a leading, qualified class name off.
fn split_class(text: &str) -> Option<(&str, &str)> {
    let (name, rest) = text
        .split_once(": ")
        .unwrap_or((text.trim_end_matches(':'), ""));
    let is_name = name.contains('.')
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '$'));
    let class = name.rsplit('.').next().unwrap_or(name);
    (is_name && class.starts_with(|c: char| c.is_ascii_uppercase())).then_some((class, rest))
}

fn class_of(cause: &str) -> &str {
    cause.split(':').next().unwrap_or(cause)
}

/// The text, cut at a character boundary.
pub(crate) fn shorten(text: &str, longest: usize) -> String {
    if text.chars().count() <= longest {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(longest.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILED_MAIN: &str = "org.apache.flink.runtime.rest.handler.RestHandlerException: Could not execute application.\n\
        \tat org.apache.flink.runtime.webmonitor.handlers.JarRunHandler.lambda$handleRequest$1(JarRunHandler.java:114)\n\
        Caused by: java.util.concurrent.CompletionException: org.apache.flink.util.FlinkRuntimeException: Could not execute application.\n\
        \t... 1 more\n\
        Caused by: org.apache.flink.client.program.ProgramInvocationException: The main method caused an error: no input\n\
        \tat org.apache.flink.client.program.PackagedProgram.callMainMethod(PackagedProgram.java:373)\n\
        Caused by: java.lang.IllegalStateException: no input: set --input\n\
        \tat dev.Job.main(Job.java:29)\n";

    #[test]
    fn the_root_is_what_is_told() {
        assert_eq!(
            root_cause(FAILED_MAIN),
            "IllegalStateException: no input: set --input"
        );
        let deeper = format!(
            "{FAILED_MAIN}Caused by: java.io.IOException: disk on fire\n\tat x.Y.z(Y.java:1)\n"
        );
        assert_eq!(
            root_cause(&deeper),
            "IllegalStateException: no input: set --input (caused by IOException: disk on fire)"
        );
    }

    #[test]
    fn a_wrapper_is_told_where_it_is_all_there_is() {
        let trace = "<Exception on server side:\njava.util.concurrent.CompletionException: \
            org.apache.flink.client.program.ProgramInvocationException: The program's entry point class 'dev.Nope' was not \
            found in the jar file.\n\tat a.B.c(D.java:1)\nEnd of exception on server side>";
        assert_eq!(
            root_cause(trace),
            "ProgramInvocationException: The program's entry point class 'dev.Nope' was not found in the jar file."
        );
    }

    #[test]
    fn texts_that_are_no_trace_stay_as_they_are() {
        assert_eq!(root_cause("Not found: /nope"), "Not found: /nope");
        assert_eq!(root_cause(""), "Flink gives no reason");
        assert_eq!(
            root_cause("a.b: c"),
            "a.b: c",
            "no class begins in lower case"
        );
    }

    #[test]
    fn messages_of_several_lines_are_kept_and_long_ones_cut() {
        assert_eq!(
            root_cause("a.B: first\n  second\n\tat x.Y.z(Y.java:1)"),
            "B: first second"
        );
        let long = format!("a.B: {}", "ä".repeat(5_000));
        let told = root_cause(&long);
        assert_eq!(told.chars().count(), LONGEST);
        assert!(told.ends_with('…'), "{told}");
    }

    #[test]
    fn a_class_is_found_anywhere_in_the_chain() {
        let trace = "a.RestHandlerException: x\nCaused by: org.apache.flink.runtime.client.DuplicateJobSubmissionException: Job \
            has already been submitted.\nCaused by: b.C: y";
        assert!(mentions(trace, "DuplicateJobSubmissionException"));
        assert!(!mentions(
            "a.B: DuplicateJobSubmissionException",
            "DuplicateJobSubmissionException"
        ));
    }
}
