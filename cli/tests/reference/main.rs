//! The reference pages of the book, `docs/reference/*.md`, are written from the code: rules, kinds, command line, values of the
//! chart. `SLUICE_UPDATE_DOCS=1` writes them; without it they must be what the code says now.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test; clippy exempts only functions marked #[test], not their helpers"
)]

mod commands;
mod kinds;
mod rules;
mod values;

use std::path::{Path, PathBuf};

/// What stands above each page.
const MADE: &str = "<!-- Written by `SLUICE_UPDATE_DOCS=1 cargo test --workspace --test reference`; do not edit. -->\n\n";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[track_caller]
fn is_current(name: &str, page: &str) {
    let page = format!("{MADE}{}\n", page.trim_end());
    let path = root().join("docs/reference").join(name);
    if std::env::var_os("SLUICE_UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &page).unwrap();
    }
    let on_disk = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = on_disk
        .lines()
        .zip(page.lines())
        .find(|(old, new)| old != new);
    assert!(
        on_disk == page,
        "docs/reference/{name} is stale; run this test with SLUICE_UPDATE_DOCS=1. The first difference: {differs:?}"
    );
}

/// Text in a cell of a table.
fn cell(text: &str) -> String {
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace('|', "\\|")
        .replace('<', "&lt;")
}

/// Code in a cell of a table.
fn code(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    format!("`{}`", text.replace('|', "\\|"))
}

#[test]
fn rules_are_current() {
    is_current("rules.md", &rules::page());
}

#[test]
fn kinds_are_current() {
    is_current("crds.md", &kinds::page());
}

#[test]
fn commands_are_current() {
    is_current("cli.md", &commands::page());
}

#[test]
fn values_are_current() {
    let text = std::fs::read_to_string(root().join("charts/sluice/values.yaml")).unwrap();
    is_current("values.md", &values::page(&text));
}
