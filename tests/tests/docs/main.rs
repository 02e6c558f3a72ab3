//! The book is run: every command that stands in README.md and docs/ is given to a shell, in order, in front of a real `sluice up`,
//! and what it prints is held against what the page shows. With `SLUICE_UPDATE_DOCS=1` the pages are given what was printed.
//!
//! What the markers in the pages mean is in [`page`]; how a command is run and compared in [`shell`] and [`compare`]. Pages that are
//! generated from code have their test beside that code (`cli/tests/reference`).

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test; clippy exempts only functions marked #[test], not their helpers"
)]

mod compare;
mod links;
mod page;
mod reader;
mod shell;

use page::{Item, Page};
use reader::Reader;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap()
}

/// README.md and every page of the book, those of the contents in their order first.
fn pages() -> Vec<Page> {
    let root = root();
    let contents = std::fs::read_to_string(root.join("docs/README.md")).unwrap();
    let mut files = vec!["README.md".to_owned(), "docs/README.md".to_owned()];
    for (link, _) in links::of(&contents) {
        let file = format!("docs/{}", link.split('#').next().unwrap());
        if is_page(Path::new(&file))
            && root.join(&file).is_file()
            && !file.contains("..")
            && !files.contains(&file)
        {
            files.push(file);
        }
    }
    let mut found = Vec::new();
    below(&root, Path::new("docs"), &mut found);
    for file in found {
        assert!(
            files.contains(&file),
            "docs/README.md does not link to {file}"
        );
    }
    files.iter().map(|file| Page::read(&root, file)).collect()
}

fn is_page(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "md")
}

fn below(root: &Path, folder: &Path, found: &mut Vec<String>) {
    let mut entries: Vec<_> = std::fs::read_dir(root.join(folder))
        .unwrap()
        .map(|entry| folder.join(entry.unwrap().file_name()))
        .collect();
    entries.sort();
    for path in entries {
        if root.join(&path).is_dir() {
            below(root, &path, found);
        } else if is_page(&path) {
            found.push(path.display().to_string());
        }
    }
}

/// Whether a page starts a node of its own.
fn needs_a_node(page: &Page) -> bool {
    page.items
        .iter()
        .any(|item| matches!(item, Item::Foreground(command) if command.line.contains("--node")))
}

#[test]
fn every_link_leads_somewhere() {
    let pages = pages();
    let broken: Vec<String> = pages
        .iter()
        .flat_map(|page| links::broken(&root(), page))
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_command_is_run_here_or_by_a_test_that_exists() {
    let faults: Vec<String> = pages().into_iter().flat_map(|page| page.faults).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_book_does_what_it_says() {
    if !sluice_tests::control_plane() {
        return;
    }
    let pages: Vec<Page> = pages()
        .into_iter()
        .filter(|page| !needs_a_node(page))
        .collect();
    let mut reader = Reader::new();
    // The first page to start a control plane lends it to all others, which have none of their own.
    let (first, rest): (Vec<_>, Vec<_>) = pages.iter().partition(|page| {
        page.items
            .iter()
            .any(|item| matches!(item, Item::Foreground(_)))
    });
    for page in first.into_iter().chain(rest) {
        reader.read(page);
    }
    reader.end();
}

#[test]
fn the_pages_about_a_node_do_what_they_say() {
    let pages: Vec<Page> = pages().into_iter().filter(needs_a_node).collect();
    if pages.is_empty() || !sluice_tests::real_node() {
        return;
    }
    for page in &pages {
        let mut reader = Reader::new();
        reader.read(page);
        reader.end();
    }
}
