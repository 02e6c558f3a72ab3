//! What the ledger says of one object, for those who are about to give it CPU: per quota, whether the object is counted, and
//! the account as the keeper last saw it.
//!
//! Only the keeper can say so: a quota's status names the revisions that it was counted at, but not anew at each revision at
//! which the sum stays the same.

use sluice_policy::MilliCpu;
use sluice_policy::ledger::{Account, QuotaKey, Revision, Scope, Unreadable};
use tokio::sync::{mpsc, oneshot};

use super::queue::Queue;

/// A question to the keeper.
#[derive(Debug)]
pub struct Question {
    /// Resource of the object, `plural.group`.
    pub resource: String,
    /// Namespace of the object.
    pub namespace: String,
    /// Its uid.
    pub uid: String,
    /// The revision that the asker decides upon.
    pub revision: Revision,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Answer>,
}

/// The keeper's answer.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Not all quotas and workloads are known yet.
    NotYet,
    /// The quotas that count the object's namespace.
    Quotas(Vec<Standing>),
}

/// One quota and the object.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The quota.
    pub quota: QuotaKey,
    /// Whom it counts.
    pub scope: Scope,
    /// Its limit and ledger.
    pub account: Result<Account, Unreadable>,
    /// Whether the object is in it.
    pub counted: Counted,
}

/// How an object is in a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// A hold that was taken at admission covers a charge up to this.
    Held(MilliCpu),
    /// It is in the confirmed usage with this charge, at the asker's revision or a later one.
    Confirmed(MilliCpu),
    /// Not yet.
    No,
}

/// Asks the keeper. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Asker {
    keeper: mpsc::Sender<Question>,
    queue: Queue,
}

/// The keeper's end.
#[derive(Debug)]
pub struct Questions(pub(super) mpsc::Receiver<Question>);

/// Both ends.
pub fn channel() -> (Asker, Questions) {
    let (sender, receiver) = mpsc::channel(256);
    let asker = Asker {
        keeper: sender,
        queue: Queue::default(),
    };
    (asker, Questions(receiver))
}

impl Asker {
    /// Who waits for CPU, of all that ask this keeper.
    pub const fn queue(&self) -> &Queue {
        &self.queue
    }

    /// The standing of an object. [`Answer::NotYet`] also where no keeper runs.
    pub async fn ask(
        &self,
        resource: &str,
        namespace: &str,
        uid: &str,
        revision: Revision,
    ) -> Answer {
        let (answer, heard) = oneshot::channel();
        let question = Question {
            resource: resource.to_owned(),
            namespace: namespace.to_owned(),
            uid: uid.to_owned(),
            revision,
            answer,
        };
        if self.keeper.send(question).await.is_err() {
            return Answer::NotYet;
        }
        heard.await.unwrap_or(Answer::NotYet)
    }
}
