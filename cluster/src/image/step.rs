//! One step of building an image: what somebody sees who waits (a bar on a terminal, lines elsewhere), and the running of
//! one command with its end, its last lines and a limit of time.

use std::collections::VecDeque;
use std::io::{self, IsTerminal};
use std::process::Stdio;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Command;
use tokio::sync::mpsc;

use crate::ClusterError;
use crate::assets::progress::say;

/// Lines of a failed command that its error shows.
const TAIL_LINES: usize = 20;
/// How often a line is written where there is no terminal. Short enough that no CI takes us for dead.
const LINE_EVERY: Duration = Duration::from_secs(20);
/// How often whoever waits looks at how far the work is.
pub(super) const TICK: Duration = Duration::from_millis(250);

/// A step that is going on.
#[derive(Debug)]
pub(super) struct Step {
    /// What is being built, such as `the image of Flink 1.20.5`.
    what: String,
    /// What this step does, such as `downloading the distribution`.
    doing: String,
    /// `None` where there is no terminal.
    bar: Option<ProgressBar>,
    began: Instant,
    said: Instant,
}

impl Step {
    pub(super) fn begin(what: &str, doing: &str) -> Self {
        let bar = if io::stderr().is_terminal() {
            let bar = ProgressBar::new_spinner();
            bar.set_style(style("{spinner} {msg} [{elapsed}]"));
            bar.set_message(format!("{what}: {doing}"));
            bar.enable_steady_tick(Duration::from_millis(120));
            Some(bar)
        } else {
            say(&format!("{what}: {doing}"));
            None
        };
        let now = Instant::now();
        Self {
            what: what.to_owned(),
            doing: doing.to_owned(),
            bar,
            began: now,
            said: now,
        }
    }

    /// What is being built.
    pub(super) fn what(&self) -> &str {
        &self.what
    }

    /// So many bytes are done, of so many if that is known. Also called when there is no news, for the lines.
    pub(super) fn bytes(&mut self, done: u64, total: Option<u64>) {
        match (&self.bar, total) {
            (Some(bar), Some(total)) => {
                if bar.length() != Some(total) {
                    bar.set_length(total);
                    bar.set_style(style(
                        "{spinner} {msg} [{bar:30}] {bytes}/{total_bytes} [{elapsed}]",
                    ));
                }
                bar.set_position(done.min(total));
            }
            (None, _) if self.said.elapsed() >= LINE_EVERY => {
                self.said = Instant::now();
                let far = match (done, total) {
                    (0, _) => String::new(),
                    (done, None) => format!(", {}", HumanBytes(done)),
                    (done, Some(total)) => {
                        format!(", {} of {}", HumanBytes(done), HumanBytes(total))
                    }
                };
                say(&format!(
                    "{}: {}{far}, {} s",
                    self.what,
                    self.doing,
                    self.began.elapsed().as_secs()
                ));
            }
            (Some(_), None) | (None, _) => {}
        }
    }

    /// Runs a command to its end and returns its stdout. `seen` is called with every line of stdout, `far` now and then:
    /// it says how many bytes are done, of how many.
    pub(super) async fn run(
        &mut self,
        mut command: Command,
        limit: Duration,
        mut seen: impl FnMut(&str),
        mut far: impl FnMut() -> (u64, Option<u64>),
    ) -> Result<String, ClusterError> {
        let program = command.as_std().get_program().to_owned();
        let shown = shown(&command);
        let running = || ClusterError::io("running", program.as_ref());
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(running())?;
        // Both are read as they come, since a full pipe would stop the command.
        let (lines, mut read) = mpsc::unbounded_channel();
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(forward(stdout, Stream::Out, lines.clone()));
        }
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(forward(stderr, Stream::Err, lines.clone()));
        }
        drop(lines);
        let mut output = String::new();
        let mut tail = VecDeque::new();
        let began = Instant::now();
        let mut ticks = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                line = read.recv() => match line {
                    Some((stream, line)) => {
                        if stream == Stream::Out {
                            seen(&line);
                            output.push_str(&line);
                            output.push('\n');
                        }
                        if tail.len() == TAIL_LINES {
                            tail.pop_front();
                        }
                        tail.push_back(line);
                    }
                    None => break,
                },
                _ = ticks.tick() => {
                    let (done, total) = far();
                    self.bytes(done, total);
                    if began.elapsed() > limit {
                        // Dropping the child kills it.
                        return Err(ClusterError::StepTooLong {
                            what: self.what.clone(),
                            command: shown,
                            limit,
                            tail: join(tail),
                        });
                    }
                }
            }
        }
        let status = child.wait().await.map_err(running())?;
        if status.success() {
            return Ok(output);
        }
        Err(ClusterError::BuildFailed {
            what: self.what.clone(),
            command: shown,
            status,
            tail: join(tail),
        })
    }

    /// [`Step::run`] where neither lines nor bytes are of interest.
    pub(super) async fn quietly(
        &mut self,
        command: Command,
        limit: Duration,
    ) -> Result<String, ClusterError> {
        self.run(command, limit, |_| (), || (0, None)).await
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    Out,
    Err,
}

async fn forward(
    from: impl AsyncRead + Unpin,
    stream: Stream,
    to: mpsc::UnboundedSender<(Stream, String)>,
) {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    // Bytes, not text: a command may write what is no UTF-8.
    while let Ok(1..) = from.read_until(b'\n', &mut line).await {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        if to.send((stream, text)).is_err() {
            return;
        }
        line.clear();
    }
}

/// The program and its first arguments, for messages.
fn shown(command: &Command) -> String {
    const WORDS: usize = 6;
    let command = command.as_std();
    let words: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let more = if words.len() > WORDS { " ..." } else { "" };
    format!(
        "{}{more}",
        words.into_iter().take(WORDS).collect::<Vec<_>>().join(" ")
    )
}

fn join(tail: VecDeque<String>) -> String {
    Vec::from(tail).join("\n")
}

fn style(template: &str) -> ProgressStyle {
    // A wrong template would only cost the looks.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn a_failed_command_is_shown_with_its_last_words() {
        let error = Step::begin("the thing", "trying")
            .quietly(
                sh("echo one; echo two >&2; exit 3"),
                Duration::from_secs(20),
            )
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("building the thing: `/bin/sh -c echo one; echo two >&2; exit 3` failed (exit status: 3)"),
            "{error}"
        );
        assert!(error.contains("one") && error.contains("two"), "{error}");
    }

    #[tokio::test]
    async fn a_command_without_end_is_stopped() {
        let error = Step::begin("the thing", "trying")
            .quietly(sh("echo here; exec sleep 600"), Duration::from_millis(300))
            .await
            .unwrap_err();
        let ClusterError::StepTooLong { tail, .. } = error else {
            unreachable!("{error}")
        };
        assert_eq!(tail, "here");
    }

    #[tokio::test]
    async fn stdout_is_returned_whole_and_line_by_line() {
        let mut lines = Vec::new();
        let output = Step::begin("the thing", "trying")
            .run(
                sh("echo a; echo noise >&2; echo b"),
                Duration::from_secs(20),
                |line| lines.push(line.to_owned()),
                || (0, None),
            )
            .await
            .unwrap();
        assert_eq!(
            (output.as_str(), lines),
            ("a\nb\n", vec!["a".to_owned(), "b".to_owned()])
        );
    }
}
