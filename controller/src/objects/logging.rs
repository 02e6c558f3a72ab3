//! Logging configuration: a Log4j file from `logging`, or the user's own files as they are.
//!
//! One profile exists, `default`: everything to the console, where `kubectl logs` finds it. A name that is not known is read
//! as that one, of which admission warns; profiles have no kind of their own.

use std::collections::BTreeMap;
use std::fmt::Write;

use sluice_policy::flink::FlinkVersion;

use super::cluster::FlinkCluster;

/// The file that Flink's processes read in the foreground.
pub const CONSOLE: &str = "log4j-console.properties";
/// From this version on Flink comes with Log4j 2.
const LOG4J2_SINCE: FlinkVersion = FlinkVersion::new(1, 11);
/// Loggers that only make noise below this level.
const QUIET: (&str, &str) = ("org.jboss.netty.channel.DefaultChannelPipeline", "OFF");
const PATTERN: &str = "%d{yyyy-MM-dd HH:mm:ss,SSS} %-5p %-60c %x - %m%n";

/// Files by name.
pub fn files(cluster: &FlinkCluster<'_>) -> BTreeMap<String, String> {
    let mut files = cluster.log_files.clone();
    files
        .entry(CONSOLE.to_owned())
        .or_insert_with(|| console(cluster));
    files
}

fn console(cluster: &FlinkCluster<'_>) -> String {
    let mut root = "INFO".to_owned();
    let mut loggers = BTreeMap::from([(QUIET.0.to_owned(), QUIET.1.to_owned())]);
    let written = cluster
        .logging
        .and_then(|logging| logging.log4j_loggers.as_ref());
    for (name, level) in super::names::texts(written) {
        let level = level
            .as_str()
            .unwrap_or_default()
            .trim()
            .to_ascii_uppercase();
        if name.is_empty() {
            root = level;
        } else {
            loggers.insert(name, level);
        }
    }
    if cluster.version >= LOG4J2_SINCE {
        log4j2(&root, &loggers)
    } else {
        log4j1(&root, &loggers)
    }
}

fn log4j2(root: &str, loggers: &BTreeMap<String, String>) -> String {
    let mut text = format!(
        "monitorInterval = 30\n\
         rootLogger.level = {root}\n\
         rootLogger.appenderRef.console.ref = Console\n\
         appender.console.name = Console\n\
         appender.console.type = CONSOLE\n\
         appender.console.layout.type = PatternLayout\n\
         appender.console.layout.pattern = {PATTERN}\n",
        root = escaped(root)
    );
    for (index, (name, level)) in loggers.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "logger.l{index}.name = {}", escaped(name));
        let _ = writeln!(text, "logger.l{index}.level = {}", escaped(level));
    }
    text
}

fn log4j1(root: &str, loggers: &BTreeMap<String, String>) -> String {
    let mut text = format!(
        "log4j.rootLogger = {root}, console\n\
         log4j.appender.console = org.apache.log4j.ConsoleAppender\n\
         log4j.appender.console.layout = org.apache.log4j.PatternLayout\n\
         log4j.appender.console.layout.ConversionPattern = {PATTERN}\n",
        root = escaped(root)
    );
    for (name, level) in loggers {
        let _ = writeln!(
            text,
            "log4j.logger.{} = {}",
            escaped(name).replace([' ', '=', ':'], "_"),
            escaped(level)
        );
    }
    text
}

/// A value of a properties file: no line may end early, and no backslash may eat what follows.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            c if c.is_ascii() && !c.is_ascii_control() => out.push(c),
            c => {
                let mut units = [0_u16; 2];
                for unit in c.encode_utf16(&mut units) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out
}
