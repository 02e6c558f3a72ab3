//! Values of the chart, from the comments of `values.yaml`: those above a key belong to it and, where they stand above a map, to the
//! map; a paragraph that an empty line ends belongs to the file.

use crate::{cell, code};
use std::fmt::Write;

pub fn page(text: &str) -> String {
    let mut page = "# Values of the chart\n\nFrom [values.yaml](../../charts/sluice/values.yaml). A key that is not here is an error that names \
                    it.\n\n| value | default | means |\n|---|---|---|\n"
        .to_owned();
    let mut path: Vec<(usize, String)> = Vec::new();
    let mut comment = String::new();
    for line in text.lines() {
        let content = line.trim_start();
        if content.is_empty() {
            comment.clear();
        } else if let Some(more) = content.strip_prefix('#') {
            comment.push_str(more);
        } else {
            let indent = line.len() - content.len();
            let (key, value) = content
                .split_once(':')
                .unwrap_or_else(|| panic!("values.yaml: {line}"));
            path.retain(|(outer, _)| *outer < indent);
            path.push((indent, key.to_owned()));
            let whole: Vec<&str> = path.iter().map(|(_, key)| key.as_str()).collect();
            let means = cell(&std::mem::take(&mut comment));
            if !value.trim().is_empty() || !means.is_empty() {
                writeln!(
                    page,
                    "| {} | {} | {means} |",
                    code(&whole.join(".")),
                    code(value.trim())
                )
                .unwrap();
            }
        }
    }
    page
}

#[test]
fn every_value_is_a_row() {
    let page = page(
        "# The file.\n\n# A map.\na:\n  # One.\n  # And more.\n  b: 1\n  c: {d: 2}\ne: \"\"\n",
    );
    let rows: Vec<&str> = page.lines().skip(6).collect();
    assert_eq!(
        rows,
        [
            "| `a` |  | A map. |",
            "| `a.b` | `1` | One. And more. |",
            "| `a.c` | `{d: 2}` |  |",
            "| `e` | `\"\"` |  |"
        ]
    );
}
