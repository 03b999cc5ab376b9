//! A page as GitHub's Markdown.

use std::fmt::Write as _;

use super::page::{Block, Holds, Page, Table};

/// The page in Markdown. Drawings are left out.
pub fn markdown(page: &Page) -> String {
    let mut text = format!("# {}\n\n", escaped(&page.title));
    blocks(&mut text, &page.lead);
    for section in &page.sections {
        let _ = write!(text, "## {}\n\n", escaped(&section.title));
        blocks(&mut text, &section.blocks);
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn blocks(text: &mut String, blocks: &[Block]) {
    for block in blocks {
        match block {
            Block::Title(title) => {
                let _ = write!(text, "### {}\n\n", escaped(title));
            }
            Block::Text(said) => {
                let _ = write!(text, "{}\n\n", escaped(said));
            }
            Block::List(items) => {
                for item in items {
                    let _ = writeln!(text, "- {}", escaped(item));
                }
                text.push('\n');
            }
            Block::Table(rows) => table(text, rows),
            Block::Figures(_) => {}
            Block::Commands(lines) => {
                let lines = lines.iter().map(|line| line.replace(['\n', '\r'], " "));
                fenced(text, "sh", &lines.collect::<Vec<_>>().join("\n"));
            }
            Block::File(language, whole) => fenced(text, language, whole.trim_end()),
            Block::Fold(summary, inner) => {
                let summary = super::html::escaped(summary);
                let _ = write!(text, "<details><summary>{summary}</summary>\n\n");
                self::blocks(text, inner);
                text.push_str("</details>\n\n");
            }
        }
    }
}

fn table(text: &mut String, table: &Table) {
    if !table.caption.is_empty() {
        let _ = write!(text, "**{}**\n\n", escaped(&table.caption));
    }
    let line = |cells: &[String]| {
        let cells: Vec<String> = cells.iter().map(|cell| escaped(cell)).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    text.push_str(&line(&table.head));
    let rule = (0..table.head.len()).map(|column| match (column, table.holds) {
        (0, _) | (_, Holds::Words) => "---",
        _ => "---:",
    });
    let _ = writeln!(text, "| {} |", rule.collect::<Vec<_>>().join(" | "));
    for row in &table.rows {
        text.push_str(&line(row));
    }
    text.push('\n');
}

/// Code between fences that are longer than any run of backticks in it.
fn fenced(text: &mut String, language: &str, code: &str) {
    let longest = code.split(|c| c != '`').map(str::len).max();
    let fence = "`".repeat(longest.unwrap_or(0).max(2) + 1);
    let _ = write!(text, "{fence}{language}\n{code}\n{fence}\n\n");
}

/// Text that Markdown shows as it is: in one line, marks escaped where they would count.
fn escaped(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let mut plain = String::with_capacity(text.len());
    for (at, &letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| letters[before]);
        let after = letters.get(at + 1).copied();
        let inside = |side: Option<char>| side.is_some_and(char::is_alphanumeric);
        let counts = match letter {
            '\\' | '`' | '*' | '[' | ']' | '<' | '|' => true,
            '_' => !(inside(before) && inside(after)),
            '~' => before == Some('~') || after == Some('~'),
            '&' => after.is_some_and(|c| c.is_alphanumeric() || c == '#'),
            '#' | '>' | '-' | '+' | '=' => before.is_none(),
            _ => false,
        };
        match letter {
            _ if letter.is_control() => plain.push(' '),
            _ if counts => plain.extend(['\\', letter]),
            _ => plain.push(letter),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_do_not_count() {
        insta::assert_snapshot!(
            escaped("a|b <script> *x* _y_ max_downtime [l](u) `c` &amp; a & b\n# t"),
            @r"a\|b \<script> \*x\* \_y\_ max_downtime \[l\](u) \`c\` \&amp; a & b # t"
        );
        assert_eq!(escaped("# not a title"), r"\# not a title");
    }

    #[test]
    fn fences_outlast_what_they_hold() {
        let mut text = String::new();
        fenced(&mut text, "sh", "echo ```");
        assert_eq!(text, "````sh\necho ```\n````\n\n");
    }
}
