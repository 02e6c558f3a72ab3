//! Columns, as kubectl prints them.

use std::io::Write;

/// Writes headings and rows, each column as wide as its widest cell.
///
/// # Errors
/// Those of writing.
pub(crate) fn write(
    out: &mut impl Write,
    headings: &[&str],
    rows: &[Vec<String>],
) -> std::io::Result<()> {
    let widths: Vec<usize> = headings
        .iter()
        .enumerate()
        .map(|(column, heading)| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or_default()
                .max(heading.chars().count())
        })
        .collect();
    let head: Vec<String> = headings.iter().map(|&text| text.to_owned()).collect();
    for row in std::iter::once(&head).chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(
                ' ',
                width.saturating_sub(cell.chars().count()) + 3,
            ));
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}
