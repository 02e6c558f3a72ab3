//! Finds `request.uid` in a stream of bytes that may be cut off, malformed or far too long, in constant memory.
//!
//! It looks at structure only as far as it must: strings, nesting, and which of two keys it stands under.

/// The longest uid, in bytes as written, that is looked for.
pub const LONGEST: usize = 1024;

/// Reads bytes piece by piece until it has seen the uid.
#[derive(Debug, Default)]
pub struct UidFinder {
    /// How many brackets are open.
    depth: usize,
    place: Place,
    /// The string being read, in its quotes; `None` where neither a key that matters nor the uid can stand.
    text: Option<Vec<u8>>,
    /// The next string at this depth is a key.
    expects_key: bool,
    /// The key under which the next value stands.
    key: Key,
    /// The open object at depth 2 is `request`.
    in_request: bool,
    found: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Outside,
    InString,
    AfterBackslash,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Key {
    #[default]
    Other,
    Request,
    Uid,
}

impl UidFinder {
    /// The uid in these bytes, if it stands there.
    pub fn find(bytes: &[u8]) -> Option<String> {
        let mut finder = Self::default();
        finder.feed(bytes);
        finder.found
    }

    /// The uid, if it has been seen.
    pub fn found(&self) -> Option<&str> {
        self.found.as_deref()
    }

    /// Reads on.
    pub fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if self.found.is_some() {
                return;
            }
            if self.place == Place::Outside {
                self.outside(*byte);
            } else {
                self.inside(*byte);
            }
        }
    }

    fn inside(&mut self, byte: u8) {
        if let Some(text) = &mut self.text {
            text.push(byte);
            if text.len() > LONGEST {
                self.text = None;
            }
        }
        self.place = match (self.place, byte) {
            (Place::InString, b'\\') => Place::AfterBackslash,
            (Place::InString, b'"') => {
                self.string_ended();
                Place::Outside
            }
            _ => Place::InString,
        };
    }

    fn string_ended(&mut self) {
        let text = self
            .text
            .take()
            .and_then(|text| serde_json::from_slice::<String>(&text).ok());
        let level = (self.depth, self.in_request);
        if self.expects_key {
            self.key = match (level, text.as_deref()) {
                ((1, _), Some("request")) => Key::Request,
                ((2, true), Some("uid")) => Key::Uid,
                _ => Key::Other,
            };
        } else if level == (2, true) && self.key == Key::Uid {
            self.found = text;
        }
    }

    fn outside(&mut self, byte: u8) {
        match byte {
            b'"' => {
                self.place = Place::InString;
                let matters = self.depth == 1 || (self.depth == 2 && self.in_request);
                self.text = matters.then(|| vec![byte]);
            }
            b'{' | b'[' => {
                if self.depth == 1 {
                    self.in_request = byte == b'{' && self.key == Key::Request;
                }
                self.depth += 1;
                self.expects_key = byte == b'{';
                self.key = Key::Other;
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                self.in_request &= self.depth >= 2;
                self.expects_key = false;
            }
            b':' => self.expects_key = false,
            b',' => {
                // Only keys at the first two levels matter, and the containers there are objects.
                self.expects_key = true;
                self.key = Key::Other;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn finds_the_uid_wherever_it_stands() {
        for review in [
            json!({"kind": "AdmissionReview", "request": {"uid": "a-1", "object": {}}}),
            json!({"request": {"object": {"uid": "wrong", "request": {"uid": "wrong"}}, "list": [{"uid": "wrong"}, "uid", "x"], "uid": "a-1"}}),
            json!({"uid": "wrong", "other": {"uid": "wrong"}, "request": {"kind": {"uid": "wrong"}, "uid": "a-1"}}),
            json!({"a\"b\\": "\\\"{", "request": {"operation": "{\"uid\": \"wrong\"", "uid": "a-1"}}),
        ] {
            let text = review.to_string();
            assert_eq!(
                UidFinder::find(text.as_bytes()).as_deref(),
                Some("a-1"),
                "{text}"
            );
            let mut piecemeal = UidFinder::default();
            for byte in text.as_bytes() {
                piecemeal.feed(&[*byte]);
            }
            assert_eq!(piecemeal.found(), Some("a-1"));
        }
    }

    #[test]
    fn finds_the_uid_in_what_is_cut_off_or_broken_behind_it() {
        for text in [
            r#"{"request": {"uid": "a-1", "object": {"spec": {"#,
            r#"{"request": {"uid": "a-1", "object": NaN}}"#,
            r#"{"request": {"object": {"x": 1e999}, "uid":"a-1"#
                .to_owned()
                .as_str(),
            "{\"request\": {\"object\": [[[[[[[[[], \"uid\": \"a-1\"",
        ]
        .map(|text| text.to_owned() + "\"")
        {
            let cut_off = UidFinder::find(text.as_bytes());
            if text.contains("[[[") {
                assert_eq!(cut_off, None, "brackets that never close hide it");
            } else {
                assert_eq!(cut_off.as_deref(), Some("a-1"), "{text}");
            }
        }
    }

    #[test]
    fn there_is_not_always_one() {
        for text in [
            "",
            "null",
            "[]",
            "]]}}",
            "{\"request\": {\"uid\": 7}}",
            "{\"request\": [{\"uid\": \"a\"}]}",
            "\"uid\"",
        ] {
            assert_eq!(UidFinder::find(text.as_bytes()), None, "{text}");
        }
    }
}
