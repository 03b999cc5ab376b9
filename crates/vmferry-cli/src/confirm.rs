//! Asks before a guest is moved.

use std::io::{self, IsTerminal as _, Write as _};

use vmferry::Error;

/// Whether somebody is there to be asked.
pub(crate) fn possible() -> Result<(), Error> {
    if io::stdin().is_terminal() {
        Ok(())
    } else {
        Err(Error::Usage(
            "nobody can be asked here: give --yes to move, or --dry-run to look".into(),
        ))
    }
}

/// Asks; anything but yes means no.
pub(crate) fn ask(question: &str) -> Result<bool, Error> {
    let fail = |source| Error::Io {
        what: "asking".into(),
        source,
    };
    let mut terminal = io::stderr();
    write!(terminal, "{question} [y/N] ")
        .and_then(|()| terminal.flush())
        .map_err(fail)?;
    let mut line = String::new();
    io::stdin().read_line(&mut line).map_err(fail)?;
    Ok(matches!(
        line.trim().to_ascii_lowercase().as_str(),
        "y" | "yes"
    ))
}
