//! The page: text, tables and the figures beside it.

use std::fmt::Write as _;

use crate::figure::Figure;

/// One paper, or the whole page.
#[derive(Default)]
pub(crate) struct Page {
    pub(crate) text: String,
    pub(crate) figures: Vec<Figure>,
}

impl Page {
    /// Adds a paragraph, list or heading.
    pub(crate) fn say(&mut self, text: &str) {
        let _ = writeln!(self.text, "{}\n", text.trim_end());
    }

    pub(crate) fn table(&mut self, head: &[&str], rows: &[Vec<String>]) {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
        self.text += &line(&head);
        self.text += &line(&vec!["---".to_owned(); head.len()]);
        for row in rows {
            self.text += &line(row);
        }
        self.text.push('\n');
    }

    pub(crate) fn figure(&mut self, figure: Figure) {
        let _ = writeln!(
            self.text,
            "![{}](papers/{}.svg)\n",
            figure.title, figure.name
        );
        self.figures.push(figure);
    }

    pub(crate) fn append(&mut self, other: Page) {
        self.text += &other.text;
        self.figures.extend(other.figures);
    }
}

/// A row of a table.
pub(crate) fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

/// Seconds as a reader likes them: `26 ms`, `6.43 s`, `33.6 s`.
pub(crate) fn seconds(value: f64) -> String {
    if value < 1.0 {
        format!("{:.0} ms", value * 1e3)
    } else if value < 10.0 {
        format!("{value:.2} s")
    } else {
        format!("{value:.1} s")
    }
}

/// Ours against the printed value: `+1.2 %`.
pub(crate) fn deviation(ours: f64, printed: f64) -> String {
    format!("{:+.1} %", (ours / printed - 1.0) * 100.0)
}
