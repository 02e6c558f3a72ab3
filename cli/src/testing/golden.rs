//! Golden files: what an object, or a patch, looked like when somebody said that it is right.

use crate::exit::Failure;
use std::path::Path;

/// Whether golden files are compared or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goldens {
    /// A difference is a failure.
    Compare,
    /// `--update`: a difference is written; counts the files.
    Update(usize),
}

/// How a content compares.
pub(super) enum Golden {
    Same,
    /// In which line, in words.
    Other(String),
}

impl Goldens {
    /// Holds a content against a file.
    pub fn hold(&mut self, path: &Path, content: &str) -> Result<Golden, Failure> {
        let fault = |error: std::io::Error| Failure::Input(format!("{}: {error}", path.display()));
        let golden = match std::fs::read_to_string(path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(fault(error)),
        };
        if golden.as_deref() == Some(content) {
            return Ok(Golden::Same);
        }
        if let Goldens::Update(count) = self {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder).map_err(fault)?;
            }
            std::fs::write(path, content).map_err(fault)?;
            *count += 1;
            return Ok(Golden::Same);
        }
        let Some(golden) = golden else {
            let path = path.display();
            return Ok(Golden::Other(format!(
                "{path} does not exist; --update writes it"
            )));
        };
        let differences: Vec<(usize, &str, &str)> = golden
            .lines()
            .chain(std::iter::repeat("(nothing)"))
            .zip(content.lines().chain(std::iter::once("(nothing)")))
            .enumerate()
            .filter(|(_, (golden, now))| golden != now)
            .map(|(line, (golden, now))| (line + 1, golden.trim(), now.trim()))
            .collect();
        // The record of defaults is one long line that changes along with a field; the field says more.
        let short = differences
            .iter()
            .find(|(_, golden, now)| golden.len().max(now.len()) < 200);
        let first = short.or(differences.first());
        let (line, golden, now) = first.copied().unwrap_or_default();
        Ok(Golden::Other(format!(
            "{} holds in line {line} `{golden}`, but it is `{now}`; --update takes it over",
            path.display()
        )))
    }
}
