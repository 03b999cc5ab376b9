//! Where the history is.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error::HistoryError;

/// Where the history is: `VMFERRY_DB`, else `$XDG_DATA_HOME/vmferry/history.db`,
/// else `~/.local/share/vmferry/history.db`; always absolute. Nothing is created.
///
/// # Errors
/// [`HistoryError::NoPath`] where neither of the variables nor `HOME` is set.
pub fn history_path() -> Result<PathBuf, HistoryError> {
    from_environment(|name| env::var_os(name))
}

fn from_environment(variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, HistoryError> {
    let set = |name| variable(name).filter(|value| !value.is_empty());
    if let Some(path) = set("VMFERRY_DB") {
        let path = PathBuf::from(path);
        // A guard asks for it from another directory.
        return Ok(std::path::absolute(&path).unwrap_or(path));
    }
    // The XDG specification has relative paths ignored.
    set("XDG_DATA_HOME")
        .map(PathBuf::from)
        .filter(|dir| dir.is_absolute())
        .or_else(|| set("HOME").map(|home| Path::new(&home).join(".local/share")))
        .map(|data| data.join("vmferry/history.db"))
        .ok_or(HistoryError::NoPath)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(set: &[(&str, &str)]) -> Option<String> {
        from_environment(|name| {
            set.iter()
                .find(|(n, _)| *n == name)
                .map(|(_, value)| value.into())
        })
        .ok()
        .map(|p| p.display().to_string())
    }

    #[test]
    fn the_nearest_setting_wins() {
        let home = ("HOME", "/home/a");
        let expect = |set: &[_], want: Option<&str>| assert_eq!(path(set).as_deref(), want);
        expect(&[home], Some("/home/a/.local/share/vmferry/history.db"));
        expect(
            &[home, ("XDG_DATA_HOME", "/data")],
            Some("/data/vmferry/history.db"),
        );
        expect(
            &[home, ("XDG_DATA_HOME", "data")],
            Some("/home/a/.local/share/vmferry/history.db"),
        );
        expect(
            &[home, ("XDG_DATA_HOME", "/data"), ("VMFERRY_DB", "/x.db")],
            Some("/x.db"),
        );
        let here = env::current_dir().unwrap().join("x.db");
        expect(&[("VMFERRY_DB", "x.db")], here.to_str());
        expect(&[("VMFERRY_DB", "")], None);
    }
}
