//! Migration parameters that are changed while the move runs.

use std::time::Duration;

use serde_json::{Map, Value, json};
use vmferry_hypervisor::qmp::Guest;

use crate::error::{End, MigrateError};
use crate::journal::{Journal, UndoAction};

/// A monitor that takes longer is asked again with the next wish.
const PATIENCE: Duration = Duration::from_secs(5);

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
        if !self.before.contains_key(name) {
            // Also where the first wish changes nothing: the next one will.
            let before = self.read(source, name).await?;
            let parameters = Map::from_iter([(name.to_owned(), before.clone())]);
            journal.about_to_change(source.uri(), UndoAction::SetParameters { parameters })?;
            self.before.insert(name.to_owned(), before);
        }
        let change = json!({ name: value });
        let answer = source.request_within("migrate-set-parameters", Some(change), PATIENCE);
        answer.await.map_err(MigrateError::at(End::Source))?;
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
        let all = source.request_within("query-migrate-parameters", None, PATIENCE);
        let all = all.await.map_err(MigrateError::at(End::Source))?;
        Ok(all.get(name).cloned().unwrap_or(Value::Null))
    }
}
