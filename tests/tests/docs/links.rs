//! Links between pages.

use crate::page::Page;
use std::path::Path;

/// Targets of `[text](target)`, with their lines.
pub fn of(text: &str) -> Vec<(&str, usize)> {
    let mut found = Vec::new();
    let mut in_block = false;
    for (number, line) in text.lines().enumerate() {
        in_block ^= line.starts_with("```");
        if in_block {
            continue;
        }
        for part in line.split("](").skip(1) {
            if let Some((target, _)) = part.split_once(')') {
                found.push((target, number + 1));
            }
        }
    }
    found
}

/// Links of a page that lead nowhere. Those to other hosts are not followed.
pub fn broken(root: &Path, page: &Page) -> Vec<String> {
    let folder = Path::new(&page.file).parent().unwrap();
    let mut broken = Vec::new();
    for (target, line) in of(&page.text) {
        if target.contains("://") {
            continue;
        }
        let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
        let path = if file.is_empty() {
            root.join(&page.file)
        } else {
            root.join(folder).join(file)
        };
        let is_there = if anchor.is_empty() {
            path.exists()
        } else {
            std::fs::read_to_string(&path)
                .is_ok_and(|text| headings(&text).any(|heading| heading == anchor))
        };
        if !is_there {
            broken.push(format!("{}:{line}: {target} leads nowhere", page.file));
        }
    }
    broken
}

/// Anchors of headings, as GitHub makes them.
fn headings(text: &str) -> impl Iterator<Item = String> {
    text.lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            line.trim_start_matches('#')
                .trim()
                .chars()
                .filter_map(|c| match c {
                    ' ' => Some('-'),
                    c if c.is_alphanumeric() || c == '-' || c == '_' => {
                        Some(c.to_ascii_lowercase())
                    }
                    _ => None,
                })
                .collect()
        })
}
