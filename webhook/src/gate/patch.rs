//! How long a patch may be.

use crate::review::rules::{self, TOO_LARGE};
use json_patch::PatchOperation;
use sluice_policy::{Refusal, Review};
use std::io;

/// More than etcd takes of a whole object: what needs longer changes could not be stored anyway.
const LONGEST: usize = 2 << 20;

/// A refusal instead of a patch that is too long.
pub fn too_long(patch: &[PatchOperation], review: &Review<'_>) -> Option<Refusal> {
    let fits = serde_json::to_writer(Left(LONGEST), patch).is_ok();
    (!fits).then(|| {
        let subject = review.subject();
        let message = format!(
            "{subject}: completing it takes a patch of more than {} MiB; make the object smaller, or write the numbers and \
             booleans of its configuration as texts",
            LONGEST >> 20
        );
        rules::refusal(&TOO_LARGE, "", message)
    })
}

/// Counts what is written, and takes no more than is left.
struct Left(usize);

impl io::Write for Left {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.0.checked_sub(bytes.len());
        self.0 = left.ok_or(io::ErrorKind::WriteZero)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use json_patch::{RemoveOperation, jsonptr::PointerBuf};
    use serde_json::Value;
    use sluice_policy::{Operation, Part};

    #[test]
    fn a_patch_that_is_too_long_is_refused_and_a_long_one_is_not() {
        let of = |count| {
            let path = PointerBuf::from_tokens(["x".repeat(1000)]);
            vec![PatchOperation::Remove(RemoveOperation { path }); count]
        };
        let review = Review {
            dialect: sluice_policy::dialect_for("sluice.dev", "SessionCluster").unwrap(),
            operation: Operation::Create,
            part: Part::Whole,
            namespace: "team-a",
            name: "analytics",
            object: &Value::Null,
        };
        assert_eq!(too_long(&of(1000), &review), None);
        let message = too_long(&of(3000), &review).unwrap().message;
        assert!(
            message.starts_with(
                "sessioncluster \"analytics\": completing it takes a patch of more than 2 MiB"
            ) && message.ends_with("[request/too-large]"),
            "{message}"
        );
    }
}
