//! Just enough of Rust's grammar to look at code without its comments and literals.

/// The source with every comment and the inside of every string and character literal blanked
/// out. Line breaks stay, so that line numbers do.
pub(crate) fn code_only(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut code = String::with_capacity(source.len());
    let mut at = 0;
    while at < chars.len() {
        let rest = &chars[at..];
        let word_before = at > 0 && is_word(chars[at - 1]);
        let length = if rest.starts_with(&['/', '/']) {
            rest.iter().position(|&c| c == '\n').unwrap_or(rest.len())
        } else if rest.starts_with(&['/', '*']) {
            block_comment(rest)
        } else if rest[0] == '"' {
            quoted(rest)
        } else if let Some(length) = raw_string(rest).filter(|_| !word_before) {
            length
        } else if let Some(length) = character(rest) {
            length
        } else {
            code.push(rest[0]);
            at += 1;
            continue;
        };
        // A blank keeps the words on both sides apart.
        code.push(' ');
        code.extend(rest[..length].iter().filter(|&&c| c == '\n'));
        at += length;
    }
    code
}

pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Block comments nest.
fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => {
                depth += 1;
                at += 2;
            }
            ['*', '/', ..] => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    at
}

fn quoted(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// `r"…"`, `r#"…"#`, and the same with `b` or `c` before.
fn raw_string(rest: &[char]) -> Option<usize> {
    let prefix = match rest {
        ['b' | 'c', 'r', ..] => 2,
        ['r', ..] => 1,
        _ => return None,
    };
    let hashes = rest[prefix..].iter().take_while(|&&c| c == '#').count();
    let open = prefix + hashes;
    if rest.get(open) != Some(&'"') {
        return None;
    }
    let body = &rest[open + 1..];
    let end = (0..body.len()).find(|&i| {
        body[i] == '"' && body[i + 1..].iter().take_while(|&&c| c == '#').count() >= hashes
    });
    Some(end.map_or(rest.len(), |end| open + 1 + end + 1 + hashes))
}

/// A character literal; a lifetime is none.
fn character(rest: &[char]) -> Option<usize> {
    match rest {
        ['\'', '\\', _, tail @ ..] => tail.iter().position(|&c| c == '\'').map(|end| 3 + end + 1),
        ['\'', _, '\'', ..] => Some(3),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked() {
        for (source, code) in [
            ("a // std::fs\nb", "a  \nb"),
            ("a /* x /* y */ std::fs\n */ b", "a  \n b"),
            ("f(\"std::fs \\\" \", 1)", "f( , 1)"),
            ("r#\"std::fs \" \"# + br\"x\"", "  +  "),
            ("'\"' ; '\\'' ; '\\u{1F}' ; x", "  ;   ;   ; x"),
            ("fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}"),
            ("let bar\"x\"", "let bar "),
        ] {
            assert_eq!(code_only(source), code, "{source}");
        }
    }

    #[test]
    fn unfinished_literals_end_with_the_file() {
        for source in ["\"abc", "/* abc", "r#\"abc\"", "\"abc\\"] {
            assert_eq!(code_only(source), " ", "{source}");
        }
    }

    #[test]
    fn line_numbers_survive() {
        let source = "/* 1\n2 */ \"3\n4\" r\"\n\" // 5\nlast";
        assert_eq!(code_only(source).lines().count(), source.lines().count());
    }
}
