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
    /// Adds headings, paragraphs and lists, parted by empty lines, and breaks their lines.
    pub(crate) fn say(&mut self, text: &str) {
        for block in text.split("\n\n") {
            for (number, item) in block.split("\n- ").enumerate() {
                let item = if number == 0 {
                    item.to_owned()
                } else {
                    format!("- {item}")
                };
                self.text += &broken(&item);
            }
            self.text.push('\n');
        }
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

/// Most characters of a line.
const WIDTH: usize = 116;

/// Words in lines of bearable length; a list item goes on below its first word.
fn broken(text: &str) -> String {
    let indent = if text.starts_with("- ") { "  " } else { "" };
    let mut lines = String::new();
    let mut length = 0;
    for word in text.split_whitespace() {
        let wide = word.chars().count();
        // A number and its percent sign stay together.
        if length > 0 && length + 1 + wide > WIDTH && !word.starts_with('%') {
            lines += "\n";
            lines += indent;
            length = indent.len();
        } else if length > 0 {
            lines.push(' ');
            length += 1;
        }
        lines += word;
        length += wide;
    }
    lines.push('\n');
    lines
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

/// Ours against the printed value: `+1.2 %`, `0.0 %`.
pub(crate) fn deviation(ours: f64, printed: f64) -> String {
    let percent = format!("{:+.1}", (ours / printed - 1.0) * 100.0);
    match percent.as_str() {
        "+0.0" | "-0.0" => "0.0 %".to_owned(),
        _ => format!("{percent} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_items_hang() {
        let mut page = Page::default();
        let long = "word ".repeat(30);
        page.say(&format!("## A head\n\n{long}\n\n- one\n- two {long}"));
        let lines: Vec<&str> = page.text.lines().collect();
        assert_eq!(&lines[..2], ["## A head", ""]);
        assert_eq!((lines[2].len(), lines[3].len()), (114, 34));
        assert_eq!(lines[5], "- one");
        assert!(lines[6].starts_with("- two word") && lines[7].starts_with("  word"));
    }

    #[test]
    fn numbers_as_a_reader_likes_them() {
        assert_eq!(
            [0.026, 6.4321, 33.55].map(seconds),
            ["26 ms", "6.43 s", "33.5 s"]
        );
        assert_eq!(deviation(6.4321, 6.435), "0.0 %");
        assert_eq!(deviation(850.0, 600.0), "+41.7 %");
    }
}
