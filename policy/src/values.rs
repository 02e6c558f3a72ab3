//! How many values a JSON text holds, before anything is made of it. A byte of text costs a byte; a value costs some hundred, however
//! short it is written: a list of ones is a fiftieth of what it becomes.

use serde::Deserialize;
use serde_json::Value;

/// More values than this are not made of a text that stands within an object: an annotation, a spec that an operator has recorded in the
/// status. In the object itself such a text is one value, whatever it holds. The spec of an object that can still be changed has fewer:
/// a review of 50,000 values holds it twice. So many take some 6 MiB.
const MOST_IN_A_TEXT: usize = 25_000;

/// Reads a JSON text that stands within an object; `None` if it is none, or holds more values than are made.
pub(crate) fn read<'t, T: Deserialize<'t>>(text: &'t str) -> Option<T> {
    if more_than(text.as_bytes(), MOST_IN_A_TEXT).is_some() {
        return None;
    }
    serde_json::from_str(text).ok()
}

/// How many values there are in one that has been parsed.
pub fn of(value: &Value) -> usize {
    1 + match value {
        Value::Array(list) => list.iter().map(of).sum(),
        Value::Object(map) => map.values().map(of).sum(),
        _ => 0,
    }
}

/// The number of values in a JSON text, if there may be more than `most`. At least as many as a parser would make before it comes to the end or
/// to an error. Strings do not count, whatever stands in them: logging configurations and SQL are full of commas.
pub fn more_than(text: &[u8], most: usize) -> Option<usize> {
    // Each value takes a byte at least, so most texts need no look; and most others no close one.
    if text.len() <= most || anywhere(text) < most {
        return None;
    }
    let count = outside_of_texts(text);
    (count > most).then_some(count)
}

/// Each value but the first comes after one of these.
fn precedes(byte: u8) -> bool {
    matches!(byte, b',' | b'[' | b'{')
}

/// Summed up in bytes, which fit many into a register.
fn anywhere(text: &[u8]) -> usize {
    text.chunks(usize::from(u8::MAX))
        .map(|chunk| {
            let sum = |sum: u8, byte: &u8| sum + u8::from(precedes(*byte));
            usize::from(chunk.iter().fold(0, sum))
        })
        .sum()
}

fn outside_of_texts(text: &[u8]) -> usize {
    let mut count = 1;
    let mut opened = false;
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => {
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'"' => break,
                        b'\\' => _ = bytes.next(),
                        _ => {}
                    }
                }
            }
            // Nothing comes after the bracket of an empty list or map. Half of what stands in managedFields is `{}`.
            b']' | b'}' if opened => count -= 1,
            byte if byte.is_ascii_whitespace() => continue,
            byte => count += usize::from(precedes(*byte)),
        }
        opened = matches!(byte, b'[' | b'{');
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
        #[test]
        fn no_value_is_missed_and_texts_count_nothing(value in any_value()) {
            let exact = of(&value);
            for text in [value.to_string(), format!("{value:#}")] {
                prop_assert_eq!(outside_of_texts(text.as_bytes()), exact, "{}", text);
                prop_assert_eq!(more_than(text.as_bytes(), exact - 1), (text.len() >= exact).then_some(exact));
                prop_assert_eq!(more_than(text.as_bytes(), exact), None);
            }
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

    #[test]
    fn an_empty_list_or_map_is_one_value_however_it_is_written() {
        for (text, count) in [
            ("{}", 1),
            ("[ \n]", 1),
            ("[{},[]]", 3),
            (r#"{"f:a":{},"f:b":{ }}"#, 3),
            (r#"["",{}]"#, 3),
            // Nobody reads these; what is made of them before that is counted.
            ("[,]", 3),
            ("[1}", 2),
        ] {
            assert_eq!(outside_of_texts(text.as_bytes()), count, "{text}");
        }
    }
}
