//! Kubernetes' syntax of names: namespaces, keys of labels and annotations, values of labels. The API server refuses what breaks it before
//! the gate is asked; names of objects follow the rules of their kinds, which are the dialects'.

use sluice_policy::json::quoted;

/// The longest label of DNS, and the longest name and value of a label of Kubernetes.
const MOST: usize = 63;
/// The longest name of DNS.
const MOST_DNS: usize = 253;

/// A namespace that an argument names.
///
/// # Errors
/// What is wrong with it and how it is written.
pub(crate) fn namespace(name: &str) -> Result<String, String> {
    match namespace_fault(name) {
        None => Ok(name.to_owned()),
        Some(fault) => Err(fault),
    }
}

/// Why no namespace can have this name.
pub(crate) fn namespace_fault(name: &str) -> Option<String> {
    let is_label = name.len() <= MOST && is_dns(name);
    (!is_label).then(|| {
        format!(
            "{} is no name of a namespace; write at most {MOST} of a-z, 0-9 and '-', no '-' first or last",
            quoted(name)
        )
    })
}

/// Why no label and no annotation can have this key.
pub(super) fn key_fault(key: &str) -> Option<String> {
    let is_key = match key.split_once('/') {
        None => is_plain(key),
        Some((prefix, name)) => {
            prefix.len() <= MOST_DNS && prefix.split('.').all(is_dns) && is_plain(name)
        }
    };
    (!is_key).then(|| {
        format!(
            "{} is no key that Kubernetes takes; write at most {MOST} letters, digits, '-', '_' or '.', with a letter or digit first and \
             last, or the name of a domain, '/' and such a name",
            quoted(key)
        )
    })
}

/// Why no label can have this value.
pub(super) fn value_fault(value: &str) -> Option<String> {
    (!value.is_empty() && !is_plain(value)).then(|| {
        format!(
            "{} is no value of a label; write at most {MOST} letters, digits, '-', '_' or '.', with a letter or digit first and last, or \
             make it an annotation",
            quoted(value)
        )
    })
}

fn is_dns(part: &str) -> bool {
    let is_lower = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    is_between(part, is_lower, b"-")
}

fn is_plain(name: &str) -> bool {
    name.len() <= MOST && is_between(name, u8::is_ascii_alphanumeric, b"-_.")
}

/// Whether the first and the last are of one sort, and all others of it or among `inner`.
fn is_between(text: &str, edge: impl Fn(&u8) -> bool, inner: &[u8]) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(&edge)
        && bytes.last().is_some_and(&edge)
        && bytes.iter().all(|byte| edge(byte) || inner.contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_the_api_server_takes() {
        let long = "a".repeat(63);
        let longer = "a".repeat(64);
        for (name, is_namespace, is_key, is_value) in [
            ("team-a", true, true, true),
            ("1a", true, true, true),
            (&long, true, true, true),
            (&longer, false, false, false),
            ("", false, false, true),
            ("T_x", false, true, true),
            ("Team A", false, false, false),
            ("a.b", false, true, true),
            ("-a", false, false, false),
            ("a-", false, false, false),
            ("é", false, false, false),
            ("a.b/C_d", false, true, false),
            (&format!("{longer}.b/c"), false, true, false),
            ("A.b/c", false, false, false),
            ("a..b/c", false, false, false),
            ("/c", false, false, false),
            ("a/", false, false, false),
            ("a/b/c", false, false, false),
        ] {
            assert_eq!(namespace_fault(name).is_none(), is_namespace, "{name}");
            assert_eq!(key_fault(name).is_none(), is_key, "{name}");
            assert_eq!(value_fault(name).is_none(), is_value, "{name}");
        }
    }
}
