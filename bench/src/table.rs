//! A table in Markdown, as it goes into `docs/benchmarks.md`.

/// Rows of text under a head; columns are padded so that it also reads well on a terminal.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with its head.
    pub fn new<'h>(head: impl IntoIterator<Item = &'h str>) -> Self {
        Self {
            rows: vec![head.into_iter().map(str::to_owned).collect()],
        }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl Into<Vec<String>>) {
        self.rows.push(cells.into());
    }

    /// Prints it to standard output.
    pub fn print(&self) {
        print!("{}", self.text());
    }

    fn text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                self.rows
                    .iter()
                    .filter_map(|row| row.get(column))
                    .map(|cell| cell.chars().count())
                    .max()
                    .unwrap_or_default()
            })
            .collect();
        let mut out = String::new();
        for (position, row) in self.rows.iter().enumerate() {
            for (cell, width) in row.iter().zip(&widths) {
                out.extend(["| ", &format!("{cell:width$}"), " "]);
            }
            out.push_str("|\n");
            if position == 0 {
                for width in &widths {
                    out.extend(["|", &"-".repeat(width + 2)]);
                }
                out.push_str("|\n");
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_markdown_with_aligned_columns() {
        let mut table = Table::new(["what", "µs"]);
        table.row(["create".into(), "1".into()]);
        assert_eq!(
            table.text(),
            "| what   | µs |\n|--------|----|\n| create | 1  |\n"
        );
    }
}
