//! The fuzz target's work on random input, for every test run.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::decode::decode;

/// Any JSON, with the words of QMP where they matter.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|f| json!(f)),
        "(active|warp|measured|0x[0-9a-f]{1,20}|\\PC{0,8})".prop_map(Value::from),
    ];
    let name = "(QMP|version|qemu|event|data|status|return|error|id|ram|transferred|timestamp|\
                seconds|microseconds|name|meta-type|members|[a-z]{1,3})";
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map(name, inner, 0..6).prop_map(|members| json!(members)),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        decode(&bytes);
    }

    #[test]
    fn any_json_is_decoded_without_panic(value in any_json()) {
        decode(value.to_string().as_bytes());
        decode(json!({ "id": 1, "return": value }).to_string().as_bytes());
        decode(json!({ "event": "MIGRATION", "data": value }).to_string().as_bytes());
    }
}
