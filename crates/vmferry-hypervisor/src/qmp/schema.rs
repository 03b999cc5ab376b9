//! What this QEMU can do, from its own description (`query-qmp-schema`) and never from its version
//! number.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use super::field;
use super::guest::Guest;
use crate::HypervisorError;

/// The commands and events of one QEMU, and what they take and give.
///
/// A path names a member, `.` goes into objects; lists are entered by themselves:
/// `capabilities.capability` is the name in every element of the list `capabilities`.
#[derive(Debug, Clone, Default)]
pub struct Schema {
    commands: BTreeMap<String, Signature>,
    events: BTreeSet<String>,
    types: HashMap<String, Type>,
}

#[derive(Debug, Clone)]
struct Signature {
    takes: String,
    returns: String,
}

#[derive(Debug, Clone)]
enum Type {
    Object {
        members: Vec<(String, String)>,
        /// Types whose members may come too, chosen by the value of one member.
        variants: Vec<String>,
    },
    /// One of several types, or the elements of a list.
    OneOf(Vec<String>),
    Enum(Vec<String>),
}

impl Schema {
    /// Reads the answer to `query-qmp-schema`; entries of unknown kinds are passed over.
    #[must_use]
    pub fn from_value(answer: &Value) -> Self {
        let mut schema = Self::default();
        for entity in field::list(answer, &[]) {
            schema.add(entity);
        }
        schema
    }

    fn add(&mut self, entity: &Value) {
        let (Some(name), Some(kind)) = (
            field::text(entity, &["name"]),
            field::text(entity, &["meta-type"]),
        ) else {
            return;
        };
        let text = |member| field::text(entity, &[member]).unwrap_or_default();
        let texts = |list, member: &str| {
            field::list(entity, &[list])
                .iter()
                .filter_map(|item| field::text(item, &[member]))
                .collect::<Vec<_>>()
        };
        let kind = match kind.as_str() {
            "command" => {
                let signature = Signature {
                    takes: text("arg-type"),
                    returns: text("ret-type"),
                };
                self.commands.insert(name, signature);
                return;
            }
            "event" => {
                self.events.insert(name);
                return;
            }
            "object" => Type::Object {
                members: field::list(entity, &["members"])
                    .iter()
                    .filter_map(|m| Some((field::text(m, &["name"])?, field::text(m, &["type"])?)))
                    .collect(),
                variants: texts("variants", "type"),
            },
            "array" => Type::OneOf(vec![text("element-type")]),
            "alternate" => Type::OneOf(texts("members", "type")),
            // `members` came with QEMU 6.2, beside the older `values`.
            "enum" => Type::Enum(
                field::list(entity, &["values"])
                    .iter()
                    .filter_map(|value| value.as_str().map(str::to_owned))
                    .chain(texts("members", "name"))
                    .collect::<BTreeSet<_>>()
                    .into_iter()
                    .collect(),
            ),
            _ => return,
        };
        self.types.insert(name, kind);
    }

    /// Whether the command exists.
    #[must_use]
    pub fn has_command(&self, command: &str) -> bool {
        self.commands.contains_key(command)
    }

    /// Whether the event exists.
    #[must_use]
    pub fn has_event(&self, event: &str) -> bool {
        self.events.contains(event)
    }

    /// Whether the command takes an argument at this path, for example
    /// `("migrate-set-parameters", "avail-switchover-bandwidth")`.
    #[must_use]
    pub fn takes(&self, command: &str, path: &str) -> bool {
        self.commands
            .get(command)
            .is_some_and(|c| !self.follow(&c.takes, path).is_empty())
    }

    /// Whether the command may return a member at this path, for example
    /// `("query-migrate", "ram.precopy-bytes")`.
    #[must_use]
    pub fn returns(&self, command: &str, path: &str) -> bool {
        self.commands
            .get(command)
            .is_some_and(|c| !self.follow(&c.returns, path).is_empty())
    }

    /// The values the command accepts at this path, sorted; empty where there is no such argument
    /// or it is free.
    #[must_use]
    pub fn accepted_values(&self, command: &str, path: &str) -> Vec<&str> {
        let Some(command) = self.commands.get(command) else {
            return Vec::new();
        };
        let mut found: Vec<&str> = self
            .follow(&command.takes, path)
            .into_iter()
            .flat_map(|name| self.spread(name))
            .filter_map(|name| match self.types.get(name) {
                Some(Type::Enum(values)) => Some(values),
                _ => None,
            })
            .flatten()
            .map(String::as_str)
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Whether this migration capability exists.
    #[must_use]
    pub fn has_capability(&self, capability: &str) -> bool {
        self.accepted_values("migrate-set-capabilities", "capabilities.capability")
            .contains(&capability)
    }

    /// Whether this migration parameter can be set.
    #[must_use]
    pub fn has_parameter(&self, parameter: &str) -> bool {
        self.takes("migrate-set-parameters", parameter)
    }

    /// The types at a path below a type; several where variants differ.
    fn follow<'a>(&'a self, from: &'a str, path: &str) -> Vec<&'a str> {
        let mut at = vec![from];
        for step in path.split('.') {
            at = at
                .iter()
                .flat_map(|name| self.spread(name))
                .filter_map(|name| match self.types.get(name) {
                    Some(Type::Object { members, .. }) => Some(members),
                    _ => None,
                })
                .flatten()
                .filter(|(name, _)| name == step)
                .map(|(_, kind)| kind.as_str())
                .collect();
        }
        at
    }

    /// A type with its variants, and what its lists and alternates hold. Types may contain
    /// themselves, so each is met once.
    fn spread<'a>(&'a self, from: &'a str) -> Vec<&'a str> {
        let mut met = vec![from];
        let mut next = 0;
        while let Some(name) = met.get(next) {
            next += 1;
            let more = match self.types.get(*name) {
                Some(Type::Object { variants, .. }) => variants,
                Some(Type::OneOf(choices)) => choices,
                Some(Type::Enum(_)) | None => continue,
            };
            for name in more {
                if !met.contains(&name.as_str()) {
                    met.push(name);
                }
            }
        }
        met
    }
}

impl Guest {
    /// What this QEMU can do; asked once a connection.
    ///
    /// # Errors
    /// As [`Guest::request`].
    pub async fn schema(&self) -> Result<&Schema, HypervisorError> {
        self.inner
            .schema
            .get_or_try_init(|| async {
                let answer = self.request("query-qmp-schema", None).await?;
                Ok(Schema::from_value(&answer))
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn sample() -> Schema {
        Schema::from_value(&json!([
            {"name": "go", "meta-type": "command", "arg-type": "0", "ret-type": "4"},
            {"name": "DONE", "meta-type": "event", "arg-type": "0"},
            {"name": "0", "meta-type": "object",
             "members": [{"name": "list", "type": "[1]"}, {"name": "self", "type": "0"}],
             "tag": "x", "variants": [{"case": "a", "type": "4"}]},
            {"name": "[1]", "meta-type": "array", "element-type": "1"},
            {"name": "1", "meta-type": "object", "members": [{"name": "kind", "type": "2"}]},
            {"name": "2", "meta-type": "enum", "values": ["b", "a"], "members": [{"name": "a"}]},
            {"name": "4", "meta-type": "object", "members": [{"name": "late", "type": "int"}]},
            {"name": "new", "meta-type": "hologram"},
            "nonsense",
        ]))
    }

    #[test]
    fn members_are_found_through_lists_and_variants() {
        let schema = sample();
        assert!(schema.has_command("go") && !schema.has_command("DONE"));
        assert!(schema.has_event("DONE"));
        for path in ["list", "list.kind", "late", "self.self.list.kind"] {
            assert!(schema.takes("go", path), "{path}");
        }
        for path in ["kind", "list.late", "late.more", ""] {
            assert!(!schema.takes("go", path), "{path}");
        }
        assert!(schema.returns("go", "late") && !schema.returns("go", "list"));
        assert_eq!(schema.accepted_values("go", "list.kind"), ["a", "b"]);
        assert!(!schema.takes("stay", "list"));
    }

    proptest! {
        #[test]
        fn any_entities_are_read_without_panic(
            links in proptest::collection::vec((0u8..6, 0u8..6, 0u8..4), 0..20),
            path in "[a-b.]{0,8}",
        ) {
            let entities: Vec<_> = links.iter().map(|(name, to, kind)| {
                let (name, to) = (name.to_string(), to.to_string());
                match kind {
                    0 => json!({"name": name, "meta-type": "array", "element-type": to}),
                    1 => json!({"name": name, "meta-type": "alternate", "members": [{"type": to}]}),
                    2 => json!({"name": name, "meta-type": "object", "members": [{"name": "a", "type": to}]}),
                    _ => json!({"name": "go", "meta-type": "command", "arg-type": to}),
                }
            }).collect();
            let schema = Schema::from_value(&json!(entities));
            let _ = schema.takes("go", &path);
            let _ = schema.accepted_values("go", &path);
        }
    }
}
