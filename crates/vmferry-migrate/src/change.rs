//! Changes on a host, each written into the undo journal before it is made.

use serde_json::{Map, Value, json};
use vmferry_hypervisor::HypervisorError;
use vmferry_hypervisor::qmp::Guest;

use crate::error::{End, MigrateError};
use crate::journal::{Journal, UndoAction};

/// Makes changes on one end of a move.
pub(crate) struct Changer<'a> {
    pub(crate) end: End,
    pub(crate) guest: &'a Guest,
    pub(crate) journal: &'a mut Journal,
}

impl Changer<'_> {
    /// Turns a migration capability on, unless it is on.
    pub(crate) async fn enable(&mut self, capability: &str) -> Result<(), MigrateError> {
        let known = self.guest.capabilities().await;
        let known = known.map_err(MigrateError::at(self.end))?;
        if known.get(capability) == Some(&true) {
            return Ok(());
        }
        self.journal.about_to_change(
            self.guest.uri(),
            UndoAction::SetCapability {
                name: capability.to_owned(),
                enabled: false,
            },
        )?;
        let arguments = json!({ "capabilities": [{ "capability": capability, "state": true }] });
        self.ask("migrate-set-capabilities", Some(arguments))
            .await?;
        Ok(())
    }

    /// Sets migration parameters; those that have the value already are left
    /// alone.
    pub(crate) async fn set_parameters(
        &mut self,
        wanted: Map<String, Value>,
    ) -> Result<(), MigrateError> {
        if wanted.is_empty() {
            return Ok(());
        }
        let now = self.ask("query-migrate-parameters", None).await?;
        let mut before = Map::new();
        let mut change = Map::new();
        for (name, value) in wanted {
            let old = now.get(&name).cloned().unwrap_or(Value::Null);
            if old != value {
                // Text parameters that are unset read back as missing or ""; "" unsets them.
                before.insert(name.clone(), if old.is_null() { json!("") } else { old });
                change.insert(name, value);
            }
        }
        if change.is_empty() {
            return Ok(());
        }
        self.journal.about_to_change(
            self.guest.uri(),
            UndoAction::SetParameters { parameters: before },
        )?;
        let numbers: Vec<(String, Value)> = change
            .iter()
            .filter(|(_, value)| value.is_number())
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        self.ask("migrate-set-parameters", Some(Value::Object(change)))
            .await?;
        let now = self.ask("query-migrate-parameters", None).await?;
        for (name, wanted) in numbers {
            let got = now.get(&name).cloned().unwrap_or(Value::Null);
            if got != wanted {
                return Err(MigrateError::NotTaken {
                    name,
                    wanted: wanted.to_string(),
                    got: got.to_string(),
                });
            }
        }
        Ok(())
    }

    /// Whether QEMU knows a migration parameter.
    pub(crate) async fn knows_parameter(&self, name: &str) -> Result<bool, MigrateError> {
        let now = self.ask("query-migrate-parameters", None).await?;
        Ok(now.get(name).is_some())
    }

    /// Adds an object such as `tls-creds-x509`.
    pub(crate) async fn add_object(
        &mut self,
        id: &str,
        arguments: Value,
    ) -> Result<(), MigrateError> {
        self.journal.about_to_change(
            self.guest.uri(),
            UndoAction::DeleteObject { id: id.to_owned() },
        )?;
        self.ask("object-add", Some(arguments)).await?;
        Ok(())
    }

    async fn ask(&self, command: &str, arguments: Option<Value>) -> Result<Value, MigrateError> {
        let answer: Result<Value, HypervisorError> = self.guest.request(command, arguments).await;
        answer.map_err(MigrateError::at(self.end))
    }
}
