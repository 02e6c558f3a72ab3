//! What somebody sees who waits for a build: a bar on a terminal, a line now and then elsewhere. Always on stderr.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How often a line is written where there is no terminal. Short enough that no CI takes us for dead.
const LINE_EVERY: Duration = Duration::from_secs(20);

/// What a build does first.
const FETCHING: &str = "fetching modules";

/// Writes one line to stderr past the test harness's capture, so that somebody who waits minutes for a first build sees
/// why. Failure to write is of no interest.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Progress of one build.
#[derive(Debug)]
pub(crate) enum Progress {
    /// For people.
    Bar(ProgressBar),
    /// For logs.
    Lines(Lines),
}

#[derive(Debug)]
pub(crate) struct Lines {
    title: String,
    message: String,
    started: Instant,
    written: Instant,
    done: u64,
    total: u64,
}

impl Progress {
    pub(crate) fn new(title: &str) -> Self {
        if io::stderr().is_terminal() {
            let bar = ProgressBar::new_spinner();
            bar.set_prefix(title.to_owned());
            bar.set_message(FETCHING);
            bar.set_style(style("{spinner} {prefix}: {msg} [{elapsed}]"));
            bar.enable_steady_tick(Duration::from_millis(120));
            return Self::Bar(bar);
        }
        let now = Instant::now();
        Self::Lines(Lines {
            title: title.to_owned(),
            message: FETCHING.to_owned(),
            started: now,
            written: now,
            done: 0,
            total: 0,
        })
    }

    /// The number of packages is known.
    pub(crate) fn total(&mut self, packages: u64) {
        match self {
            Self::Bar(bar) => {
                bar.set_length(packages);
                bar.set_style(style(
                    "{spinner} {prefix} [{bar:30}] {pos}/{len} packages [{elapsed}] {msg:.dim}",
                ));
            }
            Self::Lines(lines) => lines.total = packages,
        }
    }

    /// One more package has been handed to the compiler.
    pub(crate) fn package(&mut self, name: &str) {
        match self {
            Self::Bar(bar) => {
                bar.inc(1);
                bar.set_message(name.to_owned());
            }
            Self::Lines(lines) => {
                lines.done += 1;
                lines.write_if_due();
            }
        }
    }

    /// What is being done, where there is nothing to count.
    pub(crate) fn message(&mut self, text: &str) {
        match self {
            Self::Bar(bar) => bar.set_message(text.to_owned()),
            Self::Lines(lines) => {
                text.clone_into(&mut lines.message);
                lines.write_if_due();
            }
        }
    }

    /// Time has passed without news: linking, mostly.
    pub(crate) fn tick(&mut self) {
        if let Self::Lines(lines) = self {
            lines.write_if_due();
        }
    }

    /// How often [`Progress::tick`] wants to be called.
    pub(crate) const TICK: Duration = LINE_EVERY;

    /// It is built.
    pub(crate) fn finish(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

impl Lines {
    fn write_if_due(&mut self) {
        if self.written.elapsed() < LINE_EVERY {
            return;
        }
        self.written = Instant::now();
        let seconds = self.started.elapsed().as_secs();
        let Self {
            title,
            message,
            done,
            total,
            ..
        } = self;
        match total {
            0 => say(&format!("{title}: {message}, {seconds} s")),
            _ => say(&format!(
                "{title}: {done} of at most {total} packages compiled, {seconds} s"
            )),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

fn style(template: &str) -> ProgressStyle {
    // A wrong template would only cost the looks.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}
