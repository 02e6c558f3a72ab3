//! One recorded request after the other against the gate. The world that is replayed lacks what would have been refused; the requests
//! that came later were made in one that has it.

use super::record::{Asked, Record};
use crate::exit::Failure;
use crate::input::Document;
use crate::offline::Gate;
use crate::offline::manifest::{Manifest, ObjectId};
use crate::offline::server::is_of_one_generation;
use serde_json::Value;
use sluice_policy::review::is_being_deleted;
use std::collections::HashMap;

/// A request that would have been refused.
pub(super) struct Refused {
    pub at: String,
    pub id: ObjectId,
    pub user: String,
    pub rule: &'static str,
    pub message: String,
}

#[derive(Default)]
pub(super) struct Found {
    pub judged: usize,
    pub refused: Vec<Refused>,
    /// Of kinds that never reach the gate, refused at the time, dry runs, or without the object that they were about.
    pub passed_over: usize,
}

/// What the replayed world lacks of an object, since the last request for it that was judged would have been refused.
enum Lacking {
    /// It was never created.
    All,
    /// It is as it was before this was asked for.
    Change(Value),
}

/// Plays requests in their order.
pub(super) struct Player {
    gate: Gate,
    lacking: HashMap<ObjectId, Lacking>,
    pub found: Found,
}

impl Player {
    pub fn new(gate: Gate) -> Self {
        Self {
            gate,
            lacking: HashMap::new(),
            found: Found::default(),
        }
    }

    pub fn play(&mut self, place: &str, record: Record) -> Result<(), Failure> {
        let manifest = self.gate.manifest(&document(place, &record.object))?;
        let Some(dialect) = manifest.dialect else {
            self.found.passed_over += 1;
            return Ok(());
        };
        self.gate.asked_by(&record.user);
        let is_update = matches!(record.asked, Asked::Update(_));
        let is_asked = match &record.asked {
            Asked::Delete => {
                self.gone(&manifest);
                return Ok(());
            }
            // It was possible at the time, so what had this name was gone.
            Asked::Create => {
                self.gate.delete(&manifest.id, dialect);
                true
            }
            Asked::Update(old) => self.updates(place, &manifest, old.as_ref())?,
        };
        if !is_asked {
            self.found.passed_over += 1;
            return Ok(());
        }
        self.found.judged += 1;
        let Some(refused) = self.gate.judge(&manifest).refused else {
            self.lacking.remove(&manifest.id);
            return Ok(());
        };
        let lacking = if is_update {
            Lacking::Change(record.object)
        } else {
            Lacking::All
        };
        self.lacking.insert(manifest.id.clone(), lacking);
        self.found.refused.push(Refused {
            at: record.at.unwrap_or_else(|| place.to_owned()),
            id: manifest.id,
            user: record.user,
            rule: refused.rule,
            message: refused.message,
        });
        Ok(())
    }

    /// Whether the gate would have been asked about this update, which it is then ready for.
    fn updates(
        &mut self,
        place: &str,
        manifest: &Manifest,
        old: Option<&Value>,
    ) -> Result<bool, Failure> {
        // The deletion came before, and is done; what follows are its finalizers.
        if is_being_deleted(&manifest.object) {
            self.gone(manifest);
            return Ok(false);
        }
        match (self.lacking.get(&manifest.id), old) {
            // There is nothing to update. What its user would have done instead of it nobody knows.
            (Some(Lacking::All), _) => Ok(false),
            // The next label or finalizer brings the refused change along again, but nobody asks for it again: one refusal counts once.
            // Any other change of the spec is judged against what the object is in the replayed world; with the refused one in it, it is
            // refused anew, as it would be if its user applied the whole file.
            (Some(Lacking::Change(change)), old) => {
                let before = old.unwrap_or(change);
                Ok(!is_of_one_generation(before, &manifest.object)
                    && self.gate.updates(&manifest.id))
            }
            (None, Some(old)) => {
                self.gate.stored(&[document(place, old)])?;
                Ok(true)
            }
            (None, None) => {
                let is_known = self.gate.updates(&manifest.id);
                if !is_known {
                    // An audit log tells only what came out of it. It is known from here on.
                    self.gate.exists(&[document(place, &manifest.object)])?;
                }
                Ok(is_known)
            }
        }
    }

    fn gone(&mut self, manifest: &Manifest) {
        self.lacking.remove(&manifest.id);
        if let Some(dialect) = manifest.dialect {
            self.gate.delete(&manifest.id, dialect);
        }
    }
}

fn document(place: &str, object: &Value) -> Document {
    Document {
        file: place.into(),
        root: object.into(),
    }
}
