//! Pure crates have no clock and no I/O: a look at their source.
//!
//! Dependencies alone do not tell, since `std` brings clocks, files, sockets and processes.
//! Comments, documentation and literals may name them.

use crate::rust_text::{code_only, is_word};

/// Modules of `std` that touch the outside world.
const MODULES: &[&str] = &["fs", "net", "process"];

/// Types in them that are plain values: `std::process::ExitCode`, `std::net::IpAddr`. Taken one
/// by one, `use std::net::IpAddr;`, they are welcome.
const VALUES: &[&str] = &[
    "ExitCode",
    "IpAddr",
    "Ipv4Addr",
    "Ipv6Addr",
    "SocketAddr",
    "SocketAddrV4",
    "SocketAddrV6",
    "AddrParseError",
];

/// Types and functions that read a clock, wherever they come from.
const CLOCKS: &[&str] = &["Instant", "SystemTime", "now", "now_v7"];

/// Line number (from 1) and word of each use of a clock or of I/O in a source file.
pub(crate) fn impurities(source: &str) -> Vec<(usize, String)> {
    let code = code_only(source);
    let tokens = tokens(&code);
    let word = |index: usize| tokens.get(index).map_or("", |token: &Token<'_>| token.text);
    let mut found = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        let after_path = index >= 1 && word(index - 1) == "::";
        if after_path && CLOCKS.contains(&token.text)
            || matches!(token.text, "Instant" | "SystemTime")
        {
            found.push((token.line, token.text.to_owned()));
        }
        if token.text == "std" && word(index + 1) == "::" {
            for head in heads(&tokens, index + 2) {
                let value = word(head + 1) == "::" && VALUES.contains(&word(head + 2));
                if MODULES.contains(&word(head)) && !value {
                    found.push((tokens[head].line, format!("std::{}", word(head))));
                }
            }
        }
    }
    found
}

struct Token<'a> {
    line: usize,
    text: &'a str,
}

/// Words, `::` and single other characters.
fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = if is_word(first) {
                rest.find(|c| !is_word(c)).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            let (text, tail) = rest.split_at(length);
            tokens.push(Token {
                line: number + 1,
                text,
            });
            rest = tail.trim_start();
        }
    }
    tokens
}

/// Where the first names of a path stand that goes on at `start`: one name, or those of a
/// `{…}` group.
fn heads(tokens: &[Token<'_>], start: usize) -> Vec<usize> {
    if tokens.get(start).is_none_or(|token| token.text != "{") {
        return if start < tokens.len() {
            vec![start]
        } else {
            Vec::new()
        };
    }
    let mut heads = Vec::new();
    let mut depth = 0;
    let mut starts = false;
    for (index, token) in tokens.iter().enumerate().skip(start) {
        match token.text {
            "{" => {
                depth += 1;
                starts = depth == 1;
            }
            "}" => {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            "," => starts = depth == 1,
            _ if starts => {
                heads.push(index);
                starts = false;
            }
            _ => {}
        }
    }
    heads
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str) -> Vec<String> {
        impurities(source)
            .into_iter()
            .map(|(_, word)| word)
            .collect()
    }

    #[test]
    fn pure_code_passes() {
        let source = "\
            //! Not `std::fs`, nor Instant::now().\n\
            use std::{fmt, collections::{HashMap, hash_map}, time::Duration};\n\
            /* std::process */\n\
            fn later(now: Duration) -> Duration { now + step(now) }\n\
            const TEXT: &str = \"std::net SystemTime\";\n";
        assert_eq!(words(source), [""; 0]);
    }

    #[test]
    fn clocks_are_found_by_whatever_path() {
        assert_eq!(words("use std::time::{Duration, Instant};"), ["Instant"]);
        assert_eq!(
            words("let t = std::time::SystemTime::now();"),
            ["SystemTime", "now"]
        );
        assert_eq!(words("let t = jiff::Timestamp::now();"), ["now"]);
        assert_eq!(words("let id = Uuid::now_v7();"), ["now_v7"]);
    }

    #[test]
    fn io_is_found_in_paths_and_groups() {
        assert_eq!(words("std::fs::read(x)"), ["std::fs"]);
        assert_eq!(
            words("use std::{\n    fmt,\n    net::{IpAddr, TcpStream},\n    process,\n};"),
            ["std::net", "std::process"]
        );
        assert_eq!(words("use std :: process :: Command;"), ["std::process"]);
    }

    #[test]
    fn plain_values_of_those_modules_are_welcome() {
        assert_eq!(words("impl From<X> for std::process::ExitCode {}"), [""; 0]);
        assert_eq!(words("use std::{fmt, net::IpAddr};"), [""; 0]);
        assert_eq!(
            words("use std::net::TcpStream; std::process::exit(1)"),
            ["std::net", "std::process"]
        );
        assert_eq!(words("use std::"), [""; 0]);
    }

    #[test]
    fn the_line_is_told() {
        assert_eq!(
            impurities("// one\n/* two\nthree */\nuse std::fs;\n"),
            [(4, "std::fs".to_owned())]
        );
    }
}
