//! A shell that stays, as a reader's terminal does: what one command exports the next one sees.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// No command of the book takes so long, on a machine that compiles at the same time.
const WITHIN: Duration = Duration::from_mins(5);
/// Ends the output of each command, with its exit code.
const MARK: &str = "--- the command has ended with";

pub struct Shell {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
}

impl Shell {
    /// In a folder, with a PATH.
    pub fn start(folder: &Path, path: &str) -> Self {
        let mut child = Command::new("bash")
            .args(["--noprofile", "--norc"])
            .current_dir(folder)
            .env("PATH", path)
            .env("HOME", folder)
            .env_remove("KUBECONFIG")
            .env("NO_COLOR", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        writeln!(stdin, "exec 2>&1").unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self {
            child,
            stdin,
            lines,
        }
    }

    /// Runs a command; its exit code and all that it printed.
    pub fn run(&mut self, line: &str) -> (i32, String) {
        // Commands find nothing on standard input, which is our script. The exit code stays for `echo $?`.
        writeln!(
            self.stdin,
            "{{ {line}\n}} </dev/null\n__code=$?; printf '\\n{MARK} %s\\n' $__code; (exit $__code)"
        )
        .unwrap();
        self.stdin.flush().unwrap();
        let deadline = Instant::now() + WITHIN;
        let mut output = String::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    if let Some(code) = line.strip_prefix(MARK) {
                        // The line break before the mark is ours, where the output ended with one.
                        let printed = output.strip_suffix('\n').unwrap_or(&output).to_owned();
                        return (code.trim().parse().unwrap(), printed);
                    }
                    output.push_str(&line);
                    output.push('\n');
                }
                Err(RecvTimeoutError::Timeout) => {
                    panic!("{line}: still running after {WITHIN:?}; so far:\n{output}")
                }
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("{line}: the shell has ended; so far:\n{output}")
                }
            }
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
