//! How many values a body holds, before anything is made of it. A byte of text costs a byte; a value costs some hundred, however short
//! it is written: a list of ones is a fiftieth of what it becomes.

/// More values than this are not read. A FlinkDeployment of a hundred kilobytes with its managedFields, stored and sent, has some
/// thousand. Parsing and judging so many takes 5 to 20 MiB, and two are parsed at once: one on each worker.
pub const MOST: usize = 50_000;

/// The number of values in a body, if there may be more than `most`. At least as many as a parser would make before it comes to the end or
/// to an error. Texts do not count, whatever stands in them: logging configurations and SQL are full of commas.
pub fn more_than(body: &[u8], most: usize) -> Option<usize> {
    // Each value takes a byte at least, so most bodies need no look; and most others no close one.
    if body.len() <= most || anywhere(body) < most {
        return None;
    }
    let count = outside_of_texts(body);
    (count > most).then_some(count)
}

/// Each value but the first comes after one of these.
fn precedes(byte: u8) -> bool {
    matches!(byte, b',' | b'[' | b'{')
}

/// Summed up in bytes, which fit many into a register.
fn anywhere(body: &[u8]) -> usize {
    body.chunks(usize::from(u8::MAX))
        .map(|chunk| {
            let sum = |sum: u8, byte: &u8| sum + u8::from(precedes(*byte));
            usize::from(chunk.iter().fold(0, sum))
        })
        .sum()
}

fn outside_of_texts(body: &[u8]) -> usize {
    let mut count = 1;
    let mut bytes = body.iter();
    while let Some(byte) = bytes.next() {
        if *byte == b'"' {
            while let Some(byte) = bytes.next() {
                match byte {
                    b'"' => break,
                    b'\\' => _ = bytes.next(),
                    _ => {}
                }
            }
        } else {
            count += usize::from(precedes(*byte));
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn values(value: &Value) -> usize {
        1 + match value {
            Value::Array(list) => list.iter().map(values).sum(),
            Value::Object(map) => map.values().map(values).sum(),
            _ => 0,
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::from),
            "[\\[\\],{}\"\\\\a]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 64, 8, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                proptest::collection::btree_map("[,{\"\\\\a]{0,4}", inner, 0..8)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// Empty lists and maps are told apart from those with one value by nobody, so there the count is one too many.
        #[test]
        fn no_value_is_missed_and_texts_count_nothing(value in any_value()) {
            let text = value.to_string();
            let exact = values(&value);
            let count = outside_of_texts(text.as_bytes());
            prop_assert!(count >= exact && count <= 2 * exact, "{count} of {exact} in {text}");
            prop_assert_eq!(more_than(text.as_bytes(), exact - 1).is_some(), true);
            prop_assert_eq!(more_than(text.as_bytes(), count), None);
        }
    }

    #[test]
    fn long_texts_are_no_values() {
        let commas = format!(r#"{{"log4j.properties":"{}"}}"#, ",[{\\\"".repeat(1000));
        assert_eq!(more_than(commas.as_bytes(), 100), None);
        let ones = format!(r#"{{"a":[{}1]}}"#, "1,".repeat(1000));
        assert_eq!(more_than(ones.as_bytes(), 100), Some(1003));
        assert_eq!(more_than(ones.as_bytes(), 1003), None);
    }
}
