//! Names that the operator makes other names of.

use super::rules::NAME;
use crate::finding::{CauseReason, Findings};
use crate::json;
use crate::path::FieldPath;

/// Judges a name.
pub(crate) fn judge(field: FieldPath, name: &str, findings: &mut Findings) {
    let well_formed = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.ends_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && name.len() <= 45;
    if !well_formed {
        findings.refuse(
            &NAME,
            field,
            CauseReason::Invalid,
            format!(
                "{} ({} characters) must have at most 45 lower case letters, digits and dashes, start with a letter \
                 and end with a letter or digit",
                json::quoted(name),
                name.chars().count()
            ),
        );
    }
}
