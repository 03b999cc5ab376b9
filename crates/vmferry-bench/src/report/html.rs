//! A page as one self-contained HTML file: no script, nothing from elsewhere.

use std::fmt::Write as _;

use super::page::{Block, Holds, Page, Table};

/// Light and dark, and narrow; colours of series are from Okabe and Ito's palette, which people
/// with any kind of colour vision tell apart, made lighter on dark ground.
const STYLE: &str = include_str!("html/style.css");

/// The page in HTML, which is well-formed XML too.
pub fn html(page: &Page) -> String {
    let title = escaped(&page.title);
    let mut text = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta name=\"color-scheme\" content=\"light dark\"/>\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <h1>{title}</h1>\n"
    );
    blocks(&mut text, &page.lead);
    text.push_str("<nav aria-label=\"Contents\">\n<ul>\n");
    for (number, section) in page.sections.iter().enumerate() {
        let title = escaped(&section.title);
        let _ = writeln!(text, "<li><a href=\"#s{number}\">{title}</a></li>");
    }
    text.push_str("</ul>\n</nav>\n");
    for (number, section) in page.sections.iter().enumerate() {
        let title = escaped(&section.title);
        let _ = writeln!(text, "<section>\n<h2 id=\"s{number}\">{title}</h2>");
        blocks(&mut text, &section.blocks);
        text.push_str("</section>\n");
    }
    text.push_str("</main>\n</body>\n</html>\n");
    text
}

fn blocks(text: &mut String, blocks: &[Block]) {
    for block in blocks {
        let _ = match block {
            Block::Title(title) => writeln!(text, "<h3>{}</h3>", escaped(title)),
            Block::Text(said) => writeln!(text, "<p>{}</p>", escaped(said)),
            Block::List(items) => {
                text.push_str("<ul>\n");
                for item in items {
                    let _ = writeln!(text, "<li>{}</li>", escaped(item));
                }
                writeln!(text, "</ul>")
            }
            Block::Table(rows) => {
                table(text, rows);
                Ok(())
            }
            Block::Figures(figures) => {
                text.push_str("<div class=\"figures\">\n");
                for figure in figures {
                    let caption = escaped(&figure.caption);
                    let _ = writeln!(
                        text,
                        "<figure>\n{}\n<figcaption>{caption}</figcaption>\n</figure>",
                        figure.svg
                    );
                }
                writeln!(text, "</div>")
            }
            Block::Commands(lines) => {
                writeln!(
                    text,
                    "<pre><code>{}</code></pre>",
                    escaped(&lines.join("\n"))
                )
            }
            Block::File(_, whole) => {
                let whole = escaped(whole.trim_end());
                writeln!(text, "<pre><code>{whole}</code></pre>")
            }
            Block::Fold(summary, inner) => {
                let _ = writeln!(text, "<details>\n<summary>{}</summary>", escaped(summary));
                self::blocks(text, inner);
                writeln!(text, "</details>")
            }
        };
    }
}

fn table(text: &mut String, table: &Table) {
    let class = match table.holds {
        Holds::Numbers => "numbers",
        Holds::Words if table.head.len() > 2 => "words wide",
        Holds::Words => "words",
    };
    let caption = escaped(&table.caption);
    // Above the table rather than in it, where it would be as wide as the table and cut off on a
    // phone. The table's place is focusable, so that it can be scrolled by keyboard too.
    let _ = writeln!(
        text,
        "<p class=\"caption\">{caption}</p>\n<div class=\"table\" tabindex=\"0\">\n\
         <table class=\"{class}\" aria-label=\"{caption}\">"
    );
    text.push_str("<thead><tr>");
    for title in &table.head {
        let _ = write!(text, "<th scope=\"col\">{}</th>", escaped(title));
    }
    text.push_str("</tr></thead>\n<tbody>\n");
    for row in &table.rows {
        text.push_str("<tr>");
        for (column, cell) in row.iter().enumerate() {
            let _ = match column {
                0 => write!(text, "<th scope=\"row\">{}</th>", escaped(cell)),
                // Where a phone shows a row of words below each other, the title stands before.
                _ if table.holds == Holds::Words && table.head.len() > 2 => {
                    let title = table.head.get(column).map_or("", String::as_str);
                    let title = escaped(title);
                    write!(text, "<td data-title=\"{title}\">{}</td>", escaped(cell))
                }
                _ => write!(text, "<td>{}</td>", escaped(cell)),
            };
        }
        text.push_str("</tr>\n");
    }
    text.push_str("</tbody>\n</table>\n</div>\n");
}

/// Text for HTML and SVG, between tags and in attributes. Control characters, which XML does not
/// allow, become U+FFFD.
pub(super) fn escaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => plain.push_str("&amp;"),
            '<' => plain.push_str("&lt;"),
            '>' => plain.push_str("&gt;"),
            '"' => plain.push_str("&quot;"),
            '\'' => plain.push_str("&#39;"),
            '\n' | '\t' => plain.push(letter),
            _ if letter.is_control() || matches!(letter, '\u{FFFE}' | '\u{FFFF}') => {
                plain.push(char::REPLACEMENT_CHARACTER);
            }
            _ => plain.push(letter),
        }
    }
    plain
}
