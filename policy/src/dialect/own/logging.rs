//! The logging profile. One exists; a name that came with a manifest from elsewhere starts nothing differently, and is told.

use super::at::At;
use super::check::Judge;
use crate::json;
use serde_json::Value;

/// The only profile.
const DEFAULT: &str = "default";

/// Warns of a `logging.loggingProfile` that does not exist. `owner`: what has the field `logging`.
pub(crate) fn judge(owner: &Value, at: &At<'_>, judge: &mut Judge<'_>) {
    let profile = json::text(owner, &["logging", "loggingProfile"]);
    if let Some(profile) = profile.filter(|profile| *profile != DEFAULT) {
        judge.findings.warn(format!(
            "{}: there is no profile {}, so \"{DEFAULT}\" is used, which logs to the console; for files of your own write \
             logConfiguration",
            at.key("logging").key("loggingProfile").path(),
            json::shown(&profile.into()),
        ));
    }
}
