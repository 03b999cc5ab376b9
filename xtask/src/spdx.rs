//! SPDX licence expressions: `MIT OR (Apache-2.0 WITH LLVM-exception AND ISC)`.

/// What a licence expression says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expression {
    /// One licence, with its exception if it has one: `Apache-2.0 WITH LLVM-exception`.
    License(String),
    /// Any one of them will do.
    Any(Vec<Expression>),
    /// All of them hold at once.
    All(Vec<Expression>),
}

impl Expression {
    /// Reads an expression. A `/`, which old manifests use, means `OR`.
    pub(crate) fn parse(text: &str) -> Result<Expression, String> {
        let spaced = text
            .replace('(', " ( ")
            .replace(')', " ) ")
            .replace('/', " OR ");
        let mut words = Words(spaced.split_whitespace().collect());
        let expression = any(&mut words)?;
        match words.peek() {
            None => Ok(expression),
            Some(word) => Err(format!("`{word}` is one word too many")),
        }
    }

    /// Whether the licences for which `allowed` says yes are enough.
    pub(crate) fn satisfied(&self, allowed: &impl Fn(&str) -> bool) -> bool {
        match self {
            Expression::License(name) => allowed(name),
            Expression::Any(parts) => parts.iter().any(|part| part.satisfied(allowed)),
            Expression::All(parts) => parts.iter().all(|part| part.satisfied(allowed)),
        }
    }
}

struct Words<'a>(std::collections::VecDeque<&'a str>);

impl<'a> Words<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.0.front().copied()
    }

    fn take_if(&mut self, word: &str) -> bool {
        let hit = self
            .peek()
            .is_some_and(|next| next.eq_ignore_ascii_case(word));
        if hit {
            self.0.pop_front();
        }
        hit
    }

    /// The name of a licence or of an exception.
    fn name(&mut self) -> Result<&'a str, String> {
        match self.0.pop_front() {
            Some(word) if is_name(word) => Ok(word),
            Some(word) => Err(format!("`{word}` where a licence should stand")),
            None => Err("it ends where a licence should stand".to_owned()),
        }
    }
}

fn is_name(word: &str) -> bool {
    let operator = ["AND", "OR", "WITH"]
        .iter()
        .any(|op| word.eq_ignore_ascii_case(op));
    !operator
        && word
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '+' | ':'))
}

/// `AND` binds closer than `OR`.
fn any(words: &mut Words<'_>) -> Result<Expression, String> {
    let mut parts = vec![all(words)?];
    while words.take_if("OR") {
        parts.push(all(words)?);
    }
    Ok(single_or(parts, Expression::Any))
}

fn all(words: &mut Words<'_>) -> Result<Expression, String> {
    let mut parts = vec![one(words)?];
    while words.take_if("AND") {
        parts.push(one(words)?);
    }
    Ok(single_or(parts, Expression::All))
}

fn one(words: &mut Words<'_>) -> Result<Expression, String> {
    if words.take_if("(") {
        let inner = any(words)?;
        return if words.take_if(")") {
            Ok(inner)
        } else {
            Err("a `(` is never closed".to_owned())
        };
    }
    let license = words.name()?;
    Ok(Expression::License(if words.take_if("WITH") {
        format!("{license} WITH {}", words.name()?)
    } else {
        license.to_owned()
    }))
}

fn single_or(
    mut parts: Vec<Expression>,
    many: impl FnOnce(Vec<Expression>) -> Expression,
) -> Expression {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        last => {
            parts.extend(last);
            many(parts)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(text: &str, allowed: &[&str]) -> bool {
        Expression::parse(text)
            .expect("parses")
            .satisfied(&|name| allowed.contains(&name))
    }

    #[test]
    fn one_of_or_is_enough_and_all_of_and_are_needed() {
        assert!(ok("MIT OR GPL-3.0-only", &["MIT"]));
        assert!(!ok("MIT AND GPL-3.0-only", &["MIT"]));
        assert!(ok("Apache-2.0/MIT", &["MIT"]));
        assert!(ok(
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            &["Apache-2.0", "Unicode-3.0"]
        ));
        assert!(!ok(
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            &["MIT", "Apache-2.0"]
        ));
    }

    #[test]
    fn and_binds_closer_than_or() {
        assert!(ok("MIT OR ISC AND GPL-3.0-only", &["MIT"]));
        assert!(!ok("(MIT OR ISC) AND GPL-3.0-only", &["MIT"]));
    }

    #[test]
    fn an_exception_belongs_to_its_licence() {
        assert!(ok(
            "GPL-2.0-only WITH X-note OR MIT",
            &["GPL-2.0-only WITH X-note"]
        ));
        assert!(!ok("Apache-2.0 WITH LLVM-exception", &["Apache-2.0"]));
    }

    #[test]
    fn broken_expressions_are_refused() {
        for text in [
            "", "MIT OR", "(MIT", "MIT)", "MIT ISC", "AND", "MIT WITH", "MIT, ISC", "()",
        ] {
            assert!(Expression::parse(text).is_err(), "{text:?}");
        }
    }
}
