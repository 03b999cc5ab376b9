//! Migration parameters that are changed while the move runs.

use serde_json::{Map, Value};
use vmferry_hypervisor::qmp::Guest;

use crate::change::Changer;
use crate::error::{End, MigrateError};
use crate::journal::Journal;

/// What stood in the source's parameters before they were first changed here.
#[derive(Debug, Default)]
pub(super) struct LiveParameters {
    before: Map<String, Value>,
}

impl LiveParameters {
    /// Sets a parameter at the source, or sets it back, and reads it back. The
    /// first change goes into the journal before it is made.
    pub(super) async fn set(
        &mut self,
        source: &Guest,
        journal: &mut Journal,
        name: &str,
        value: Option<Value>,
    ) -> Result<(), MigrateError> {
        let value = match (value, self.before.get(name)) {
            (Some(value), _) => value,
            (None, Some(before)) => before.clone(),
            (None, None) => return Ok(()),
        };
        let change = Map::from_iter([(name.to_owned(), value.clone())]);
        if self.before.contains_key(name) {
            let answer = source.request("migrate-set-parameters", Some(Value::Object(change)));
            answer.await.map_err(MigrateError::at(End::Source))?;
        } else {
            let before = self.read(source, name).await?;
            let mut changer = Changer {
                end: End::Source,
                guest: source,
                journal,
            };
            changer.set_parameters(change).await?;
            self.before.insert(name.to_owned(), before);
        }
        let got = self.read(source, name).await?;
        if got == value {
            Ok(())
        } else {
            Err(MigrateError::NotTaken {
                name: name.to_owned(),
                wanted: value.to_string(),
                got: got.to_string(),
            })
        }
    }

    async fn read(&self, source: &Guest, name: &str) -> Result<Value, MigrateError> {
        let all = source.request("query-migrate-parameters", None);
        let all = all.await.map_err(MigrateError::at(End::Source))?;
        Ok(all.get(name).cloned().unwrap_or(Value::Null))
    }
}
