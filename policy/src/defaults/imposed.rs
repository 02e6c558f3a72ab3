//! What Environments impose on an object that is judged: whoever wrote it could not mend that, and whoever imposes it was judged himself.

use super::settings::Settings;
use super::spelling::Spellings;
use crate::finding::{CauseReason, Findings};
use crate::path::FieldPath;
use crate::review::Review;
use crate::rule::Rule;
use crate::world::World;
use serde_json::Value;
use std::cell::OnceCell;
use std::collections::BTreeMap;

/// What Environments impose on an object. Read once something is asked, as few objects come to that.
pub(crate) struct Imposed<'r> {
    review: Review<'r>,
    world: &'r dyn World,
    said: OnceCell<Said>,
}

/// Values and where they come from, by their dotted paths; of several Environments the first.
struct Said {
    spellings: Spellings,
    leaves: BTreeMap<FieldPath, (Value, String)>,
}

impl<'r> Imposed<'r> {
    pub(crate) fn on(review: &Review<'r>, world: &'r dyn World) -> Self {
        Self {
            review: *review,
            world,
            said: OnceCell::new(),
        }
    }

    /// The Environment that says what stands in a field, or in the list around it.
    pub(crate) fn by(&self, field: &FieldPath) -> Option<&str> {
        let said = self.said.get_or_init(|| self.read());
        let mut at = said.spellings.dotted(field).into_owned();
        while !at.steps().is_empty() {
            if let Some((value, source)) = said.leaves.get(&at)
                && said.spellings.given(self.review.object, &at) == Some(value)
            {
                return Some(source);
            }
            at = at.parent();
        }
        None
    }

    /// Refuses what a field says, unless an Environment says it there: then this is a warning.
    pub(crate) fn refuse(
        &self,
        rule: &'static Rule,
        field: FieldPath,
        message: &str,
        findings: &mut Findings,
    ) {
        match self.by(&field) {
            // What is cut off, if anything, is the advice.
            Some(source) => findings.warn(format!(
                "{}: {source} sets {field} [{}]: {message}",
                self.review.subject(),
                rule.id
            )),
            None => findings.refuse(rule, field, CauseReason::Invalid, message),
        }
    }

    fn read(&self) -> Said {
        let dialect = self.review.dialect;
        let spellings = Spellings::of(dialect.spelled());
        let mut leaves = BTreeMap::new();
        let settings = Settings::of(dialect, &spellings, self.review.object);
        for layer in super::imposing(&self.review, self.world) {
            settings.each(&layer, &mut |path, value| {
                leaves
                    .entry(path.clone())
                    .or_insert_with(|| (value.clone(), layer.source.clone()));
            });
        }
        Said { spellings, leaves }
    }
}
