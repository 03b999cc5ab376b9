//! Reading single fields of QEMU's answers without expecting any of them.

use serde_json::Value;

/// The unsigned number at `path`; `None` where it is absent, negative or no number.
pub(crate) fn number(value: &Value, path: &[&str]) -> Option<u64> {
    let found = descend(value, path)?;
    found.as_u64().or_else(|| {
        let float = found.as_f64()?;
        // 2^64 is the first float that no longer fits.
        (0.0..18_446_744_073_709_551_616.0)
            .contains(&float)
            .then_some(float as u64)
    })
}

/// The finite number at `path`.
pub(crate) fn float(value: &Value, path: &[&str]) -> Option<f64> {
    descend(value, path)?.as_f64().filter(|f| f.is_finite())
}

/// The text at `path`.
pub(crate) fn text(value: &Value, path: &[&str]) -> Option<String> {
    descend(value, path)?.as_str().map(str::to_owned)
}

/// The truth value at `path`.
pub(crate) fn flag(value: &Value, path: &[&str]) -> Option<bool> {
    descend(value, path)?.as_bool()
}

/// The elements of the list at `path`; none where there is no list.
pub(crate) fn list<'a>(value: &'a Value, path: &[&str]) -> &'a [Value] {
    descend(value, path)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn descend<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |at, name| at.get(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_not_there_or_not_a_number_is_none() {
        let answer = json!({"ram": {"total": 5, "rest": -1, "f": 2.5, "s": "x", "huge": 1e300}});
        assert_eq!(number(&answer, &["ram", "total"]), Some(5));
        assert_eq!(number(&answer, &["ram", "f"]), Some(2));
        assert_eq!(float(&answer, &["ram", "f"]), Some(2.5));
        for absent in ["rest", "s", "huge", "nothing"] {
            assert_eq!(number(&answer, &["ram", absent]), None, "{absent}");
        }
        assert_eq!(number(&answer, &["total", "ram"]), None);
        assert_eq!(list(&answer, &["ram"]), &[] as &[Value]);
    }
}
