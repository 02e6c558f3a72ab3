//! The one rule by which tests of this workspace are skipped: the machine lacks what no project can bring along.

use super::{Assets, AssetsCache};
use crate::{Binary, ClusterError};

/// `all`: what a test needs must be there, and its absence fails the test.
const REQUIRE: &str = "SLUICE_REQUIRE";

impl Assets {
    /// Programs for a test; the first time they are built, which takes minutes and is reported on stderr. `None`: this
    /// machine cannot have them (no Go, or one too old, or not in `KUBEBUILDER_ASSETS`), which [`or_skip`] has said.
    ///
    /// # Errors
    /// As [`Assets::obtain`], and also what would have been a reason to skip where `SLUICE_REQUIRE=all` is set.
    pub async fn for_tests(needed: &[Binary]) -> Result<Option<Self>, ClusterError> {
        or_skip(Self::obtain(&AssetsCache::Default, needed).await)
    }
}

/// `None`, with a line that says what is missing, where the test that asked is to end: the machine lacks something.
///
/// # Errors
/// Everything else, and what is missing too where `SLUICE_REQUIRE=all` is set.
pub fn or_skip<T>(obtained: Result<T, ClusterError>) -> Result<Option<T>, ClusterError> {
    let required = std::env::var(REQUIRE).is_ok_and(|value| value == "all");
    unless_required(obtained, required)
}

fn unless_required<T>(
    obtained: Result<T, ClusterError>,
    required: bool,
) -> Result<Option<T>, ClusterError> {
    match obtained {
        Ok(found) => Ok(Some(found)),
        Err(
            error @ (ClusterError::GoMissing { .. }
            | ClusterError::GoTooOld { .. }
            | ClusterError::MissingAsset { .. }
            | ClusterError::NodeUnsupported { .. }),
        ) if !required => {
            eprintln!("skipped: {error}");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn only_what_the_machine_lacks_is_a_reason_to_skip_and_only_where_nothing_is_required() {
        let missing = || {
            Assets::from_dir(Path::new("/nonexistent"), Binary::ALL).map_err(|error| {
                assert!(
                    matches!(error, ClusterError::MissingAsset { .. }),
                    "{error}"
                );
                error
            })
        };
        assert!(matches!(unless_required(missing(), false), Ok(None)));
        assert!(unless_required(missing(), true).is_err());
        let other = || {
            Err::<(), _>(ClusterError::NotRunning {
                name: "etcd".to_owned(),
            })
        };
        assert!(unless_required(other(), false).is_err());
        assert!(matches!(unless_required(Ok(()), true), Ok(Some(()))));
    }
}
