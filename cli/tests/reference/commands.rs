//! The command line, from clap's own definitions.

use crate::{cell, code};
use clap::{Arg, Command, CommandFactory};
use sluice_cli::args::Cli;
use std::fmt::Write;

pub fn page() -> String {
    let mut command = Cli::command();
    // A width of its own, so that the page does not depend on the terminal.
    command = command.term_width(0);
    command.build();
    let mut page = "# Command line\n\n`sluice` and, as `kubectl-sluice` in the PATH, `kubectl sluice` are the same program.\n".to_owned();
    describe(&command, &mut page);
    page
}

/// What every command has, by itself.
fn is_of_clap(arg: &Arg) -> bool {
    use clap::ArgAction::{Help, HelpLong, HelpShort, Version};
    matches!(arg.get_action(), Help | HelpShort | HelpLong | Version)
}

fn describe(command: &Command, page: &mut String) {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    write!(page, "\n## {name}\n\n").unwrap();
    if let Some(about) = command.get_long_about().or_else(|| command.get_about()) {
        write!(page, "{}\n\n", about.to_string().trim()).unwrap();
    }
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    write!(page, "```text\n{}\n```\n", usage.trim()).unwrap();
    let shown: Vec<&Arg> = command
        .get_arguments()
        .filter(|arg| !arg.is_hide_set() && !is_of_clap(arg))
        .collect();
    if !shown.is_empty() {
        page.push_str("\n| argument | means |\n|---|---|\n");
    }
    for arg in shown {
        writeln!(page, "| {} | {} |", code(&spelled(arg)), meaning(arg)).unwrap();
    }
    if let Some(after) = command
        .get_after_long_help()
        .or_else(|| command.get_after_help())
    {
        write!(page, "\n```text\n{}\n```\n", after.to_string().trim()).unwrap();
    }
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        describe(sub, page);
    }
}

fn spelled(arg: &Arg) -> String {
    let mut names: Vec<String> = arg
        .get_short()
        .map(|short| format!("-{short}"))
        .into_iter()
        .collect();
    names.extend(arg.get_long().map(|long| format!("--{long}")));
    let takes = arg.get_action().takes_values();
    let value = arg
        .get_value_names()
        .filter(|_| takes)
        .map(|values| values.join(" "))
        .unwrap_or_default();
    match (names.is_empty(), value.is_empty()) {
        (true, _) => value,
        (false, true) => names.join(", "),
        (false, false) => format!("{} {value}", names.join(", ")),
    }
}

fn meaning(arg: &Arg) -> String {
    let mut text = arg
        .get_long_help()
        .or_else(|| arg.get_help())
        .map(ToString::to_string)
        .unwrap_or_default();
    if !text.is_empty() && !text.ends_with(['.', ']', ')']) {
        text.push('.');
    }
    let mut text = cell(&text);
    let words: Vec<String> = arg
        .get_possible_values()
        .iter()
        .filter(|_| arg.get_action().takes_values())
        .filter(|value| !value.is_hide_set())
        .map(|value| match value.get_help() {
            Some(help) => format!(
                "{} ({})",
                code(value.get_name()),
                cell(help.to_string().trim_end_matches('.'))
            ),
            None => code(value.get_name()),
        })
        .collect();
    if !words.is_empty() {
        write!(text, " One of {}.", words.join(", ")).unwrap();
    }
    let defaults: Vec<String> = arg
        .get_default_values()
        .iter()
        .filter(|value| arg.get_action().takes_values() && !value.is_empty())
        .map(|value| code(&value.to_string_lossy()))
        .collect();
    if !defaults.is_empty() {
        write!(text, " Default: {}.", defaults.join(", ")).unwrap();
    }
    if let Some(variable) = arg.get_env() {
        write!(text, " Environment: {}.", code(&variable.to_string_lossy())).unwrap();
    }
    if arg.is_required_set() {
        text.push_str(" Required.");
    }
    text.trim().to_owned()
}
