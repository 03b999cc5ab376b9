//! Cuts QEMU's schema, a line of some 300 kB, down to what migration needs.

use std::collections::BTreeSet;

use serde_json::Value;

/// The commands whose arguments and results are kept. Of the others only the names are.
const KEPT: [&str; 10] = [
    "migrate",
    "migrate-incoming",
    "migrate-set-parameters",
    "migrate-set-capabilities",
    "query-migrate",
    "query-migrate-parameters",
    "query-accelerators",
    "calc-dirty-rate",
    "query-dirty-rate",
    "object-add",
];

/// The one kind of object whose properties are kept.
const KEPT_OBJECT: &str = "tls-creds-x509";

/// Trims a reply that holds a schema; leaves every other message alone.
pub(crate) fn schema(mut message: Value) -> Value {
    if let Some(Value::Array(entities)) = message.get_mut("return")
        && entities.iter().any(|e| e.get("meta-type").is_some())
    {
        trim(entities);
    }
    message
}

fn trim(entities: &mut Vec<Value>) {
    let mut wanted = BTreeSet::new();
    for entity in entities.iter_mut() {
        let Some(entity) = entity.as_object_mut() else {
            continue;
        };
        let is = |member: &str, text: &str| entity.get(member).is_some_and(|v| v == text);
        let is_kept = KEPT.iter().any(|name| is("name", name));
        if is("meta-type", "command") && is_kept {
            wanted.extend(["arg-type", "ret-type"].map(|m| name(entity.get(m))));
        } else if is("meta-type", "command") || is("meta-type", "event") {
            entity.retain(|member, _| member == "name" || member == "meta-type");
        } else if is("tag", "qom-type")
            && let Some(Value::Array(variants)) = entity.get_mut("variants")
        {
            variants.retain(|variant| variant["case"] == KEPT_OBJECT);
        }
    }
    let mut count = 0;
    while count < wanted.len() {
        count = wanted.len();
        for entity in entities.iter() {
            if !wanted.contains(&name(entity.get("name"))) {
                continue;
            }
            wanted.insert(name(entity.get("element-type")));
            for list in ["members", "variants"] {
                let parts = entity.get(list).and_then(Value::as_array);
                wanted.extend(parts.into_iter().flatten().map(|p| name(p.get("type"))));
            }
        }
    }
    entities.retain(|entity| {
        entity["meta-type"] == "command"
            || entity["meta-type"] == "event"
            || wanted.contains(&name(entity.get("name")))
    });
}

fn name(value: Option<&Value>) -> String {
    value.and_then(Value::as_str).unwrap_or_default().to_owned()
}
