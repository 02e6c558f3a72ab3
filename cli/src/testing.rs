//! `sluice test`: suites of decisions, played against the gate without a cluster. What a suite may hold is in [`suite`], how it is
//! played in [`play`]; the gate is that of `sluice check`.

mod golden;
mod play;
mod suite;

use crate::exit::{self, Failure, Outcome};
use crate::input::{self, Folders};
use crate::report::{self, Case, Finding, Format, Level};
use clap::Args;
use golden::Goldens;
use play::Played;
use serde_json::{Value, json};
use std::io::Write;
use std::path::PathBuf;
use suite::{Suite, Test};

/// Arguments of `sluice test`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sluice test -f suites/\n  sluice test -f suite.yaml --filter quota\n  sluice test -f suites/ --update"
)]
pub struct TestArgs {
    /// Suites: files, or folders, of which only documents of kind Suite are taken. May be repeated.
    #[arg(short, long = "filename", value_name = "FILE", required = true, num_args = 1..)]
    files: Vec<PathBuf>,
    /// Read folders with all folders in them.
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Play only tests whose name, or whose suite's, holds this text.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Write golden files as they are now instead of comparing them.
    #[arg(long)]
    update: bool,
    /// How to print what came out.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// A test that was played.
struct Finished {
    suite: String,
    file: String,
    name: String,
    line: usize,
    steps: Vec<Played>,
}

impl Finished {
    fn passed(&self) -> bool {
        self.steps.iter().all(|step| step.problems.is_empty())
    }
}

/// Plays everything, then prints.
///
/// # Errors
/// [`Failure::Input`] for a suite that cannot be read or played.
pub fn run(args: &TestArgs) -> Result<Outcome, Failure> {
    let suites = suites(args)?;
    let mut goldens = if args.update {
        Goldens::Update(0)
    } else {
        Goldens::Compare
    };
    let mut results = Vec::new();
    for suite in &suites {
        for test in suite.tests.iter().filter(|test| wanted(args, suite, test)) {
            results.push(Finished {
                suite: suite.name.clone(),
                file: suite.file.clone(),
                name: test.name.clone(),
                line: test.at.line,
                steps: play::play(suite, test, &mut goldens)?,
            });
        }
    }
    if results.is_empty() {
        return Err(Failure::Input(
            "--filter: no test has this in its name".to_owned(),
        ));
    }
    let found = if results.iter().all(Finished::passed) {
        Outcome::Fine
    } else {
        Outcome::Negative
    };
    let mut out = std::io::stdout().lock();
    let printed = match args.output {
        Format::Table => table(&results, &mut out),
        Format::Json => json(&results, &mut out),
        Format::Junit => report::junit(&cases(&results), &mut out),
        Format::Sarif => report::sarif(&cases(&results), &mut out),
        Format::Github => report::github(&cases(&results), &mut out),
    };
    if let Goldens::Update(count @ 1..) = goldens {
        crate::note(format_args!(
            "golden files written: {count}; read the difference before you commit it"
        ));
    }
    exit::told(found, printed)
}

fn suites(args: &TestArgs) -> Result<Vec<Suite>, Failure> {
    let folders = Folders::with_flag(args.recursive);
    let mut suites = Vec::new();
    for path in &args.files {
        let documents = input::read(std::slice::from_ref(path), folders)?;
        for document in &documents {
            if suite::is_suite(document) {
                suites.push(suite::read(document)?);
            } else if !path.is_dir() {
                let message = format!(
                    "this is no Suite (apiVersion: {}, kind: Suite)",
                    suite::API_VERSION
                );
                return Err(Failure::Input(document.fault(document.root.at, message)));
            }
        }
    }
    if suites.is_empty() {
        return Err(Failure::Input(
            "there is no Suite in these folders; -R reads the folders in them too".to_owned(),
        ));
    }
    Ok(suites)
}

fn wanted(args: &TestArgs, suite: &Suite, test: &Test) -> bool {
    let filter = args.filter.as_deref();
    filter.is_none_or(|text| test.name.contains(text) || suite.name.contains(text))
}

fn table(results: &[Finished], out: &mut impl Write) -> Result<(), Failure> {
    for result in results {
        let word = if result.passed() { "ok    " } else { "FAILED" };
        writeln!(out, "{word}  {}: {}", result.suite, result.name)?;
        for step in &result.steps {
            for problem in &step.problems {
                writeln!(
                    out,
                    "        {}: {}: {}: {problem}",
                    result.file, step.at, step.what
                )?;
            }
        }
    }
    let failed = results.iter().filter(|result| !result.passed()).count();
    writeln!(out, "{failed} of {} failed", results.len())?;
    Ok(())
}

fn json(results: &[Finished], out: &mut impl Write) -> Result<(), Failure> {
    let all: Vec<Value> = results.iter().map(element).collect();
    serde_json::to_writer_pretty(&mut *out, &all).map_err(std::io::Error::from)?;
    writeln!(out)?;
    Ok(())
}

fn element(result: &Finished) -> Value {
    let steps: Vec<Value> = result
        .steps
        .iter()
        .map(|step| {
            let refused = step.verdict.as_ref().and_then(|verdict| verdict.refused.as_ref());
            json!({
                "step": step.what,
                "line": step.at.line,
                "allowed": refused.is_none(),
                "rule": refused.map(|refused| refused.rule),
                "message": refused.map(|refused| refused.message.as_str()),
                "warnings": step.verdict.as_ref().map(|verdict| verdict.warnings.as_slice()).unwrap_or_default(),
                "problems": step.problems,
            })
        })
        .collect();
    json!({
        "suite": result.suite,
        "file": result.file,
        "line": result.line,
        "name": result.name,
        "passed": result.passed(),
        "steps": steps,
    })
}

fn cases(results: &[Finished]) -> Vec<Case> {
    results
        .iter()
        .map(|result| Case {
            suite: result.suite.clone(),
            name: result.name.clone(),
            file: result.file.clone(),
            findings: result
                .steps
                .iter()
                .flat_map(|step| {
                    step.problems.iter().map(|problem| Finding {
                        level: Level::Error,
                        rule: None,
                        message: format!("{}: {problem}", step.what),
                        at: step.at,
                    })
                })
                .collect(),
        })
        .collect()
}
