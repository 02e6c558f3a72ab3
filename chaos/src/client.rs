//! The users: each takes the next operation, looks at what stands there, decides from exactly that, and sends one request.

use crate::answers::{Answer, Effect, Reach, Tally, judge};
use crate::charge::charge;
use crate::check::{Attempts, Update};
use crate::etcd::Reader;
use crate::history::OPERATION;
use crate::holds::Sent;
use crate::objects::{self, Told};
use crate::place::{Kind, LENIENT, PAIR, Place, Quota};
use crate::plan::{self, Haste, Operation, Verb};
use hyper::Method;
use kube::Client;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// How long an answer is waited for: longer than a request may take in the webhooks, shorter than the long faults.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// How long to ask what stands there before giving up on the control plane.
const LOOK_WITHIN: Duration = Duration::from_mins(5);
/// How often a request that is asked to come again does, and after what; kubectl is more patient.
const RESENDS: u32 = 3;
const RESEND_AFTER: Duration = Duration::from_millis(700);
/// After trouble, and while the control plane is away.
const PAUSE: Duration = Duration::from_millis(250);

/// What all clients share.
#[derive(Debug, Default)]
pub struct Book {
    /// Number of the next operation, which is also how many have begun.
    pub next: AtomicU64,
    attempts: Mutex<Attempts>,
    tally: Mutex<Tally>,
    sent: Mutex<Vec<Sent>>,
    at_work: Mutex<HashMap<Place, Arc<tokio::sync::Mutex<()>>>>,
}

impl Book {
    /// What was sent.
    pub fn attempts(&self) -> MutexGuard<'_, Attempts> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Requests that could take holds, with their answers.
    pub fn sent(&self) -> MutexGuard<'_, Vec<Sent>> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Held by whoever is at work at a place, and leaves others the chance to wait for it.
    fn turn(&self, place: &Place) -> Arc<tokio::sync::Mutex<()>> {
        let mut at_work = self.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(at_work.entry(place.clone()).or_default())
    }

    /// What was answered.
    pub fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of them.
#[allow(missing_debug_implementations)] // a client has none
pub struct User {
    /// With the administrator's rights; resends nothing by itself.
    pub client: Client,
    /// For the newest revision.
    pub reader: Reader,
    /// What all share.
    pub book: Arc<Book>,
    /// The run's seed.
    pub seed: u64,
    /// How many operations the run has.
    pub operations: u64,
    /// When to stop, however many are left.
    pub until: Option<Instant>,
}

/// A request that is about to be sent.
struct Send {
    /// What it is to replace, if it can take a hold.
    replaces: Option<(Place, u64)>,
    method: Method,
    path: String,
    body: Option<Value>,
    content_type: &'static str,
}

impl Send {
    fn json(method: Method, path: String, body: Value) -> Self {
        Self {
            replaces: None,
            method,
            path,
            body: Some(body),
            content_type: "application/json",
        }
    }

    fn replaces(mut self, place: &Place, base: u64) -> Self {
        self.replaces = Some((place.clone(), base));
        self
    }

    fn merge(path: String, body: Value) -> Self {
        Self {
            replaces: None,
            method: Method::PATCH,
            path,
            body: Some(body),
            content_type: "application/merge-patch+json",
        }
    }

    /// Made if it is not there.
    fn apply(path: &str, body: Value) -> Self {
        Self {
            content_type: "application/apply-patch+yaml",
            ..Self::merge(format!("{path}?fieldManager=chaos&force=true"), body)
        }
    }

    fn delete(path: String) -> Self {
        Self {
            replaces: None,
            method: Method::DELETE,
            path,
            body: None,
            content_type: "application/json",
        }
    }
}

impl User {
    /// Works until no operation is left.
    pub async fn work(self) -> anyhow::Result<()> {
        loop {
            if self.until.is_some_and(|until| Instant::now() > until) {
                return Ok(());
            }
            let index = self.book.next.fetch_add(1, Ordering::Relaxed);
            if index >= self.operations {
                self.book.next.fetch_min(self.operations, Ordering::Relaxed);
                return Ok(());
            }
            let operation = plan::operation(self.seed, index);
            // Most users wait for each other: two who create one name at once leave a hold that nobody takes for 90 s.
            let turn = self.book.turn(&operation.place);
            let _at_work = match operation.haste {
                Haste::Waits => Some(turn.lock().await),
                Haste::Races => None,
            };
            self.run(&operation).await?;
        }
    }

    async fn run(&self, operation: &Operation) -> anyhow::Result<()> {
        match &operation.verb {
            Verb::Limit(quota, cpu) => {
                let send = match quota {
                    Quota::Of(namespace) => {
                        Send::apply(&quota.path(), objects::quota(namespace, *cpu))
                    }
                    Quota::Cluster(_) => {
                        Send::merge(quota.path(), json!({"spec": {"hard": {"cpu": cpu}}}))
                    }
                };
                self.tell(operation, Effect::Same, Reach::Levers, send)
                    .await;
            }
            Verb::Scope(names) => {
                let quota = Quota::Cluster(PAIR.to_owned());
                let send = Send::merge(quota.path(), json!({"spec": {"namespaces": names}}));
                self.tell(operation, Effect::Same, Reach::Levers, send)
                    .await;
            }
            Verb::Renew(quota, cpu) => {
                let Quota::Of(namespace) = quota else {
                    return Ok(());
                };
                self.tell(
                    operation,
                    Effect::Same,
                    Reach::Levers,
                    Send::delete(quota.path()),
                )
                .await;
                let send = Send::apply(&quota.path(), objects::quota(namespace, *cpu));
                self.tell(operation, Effect::Same, Reach::Levers, send)
                    .await;
            }
            Verb::Mode(word) => {
                let labels = json!({"metadata": {"labels": {"sluice.dev/quota": word}}});
                let send = Send::merge(format!("/api/v1/namespaces/{LENIENT}"), labels);
                self.tell(operation, Effect::Same, Reach::Levers, send)
                    .await;
            }
            Verb::Delete | Verb::Recreate => {
                if self.look(&operation.place).await?.is_none() {
                    self.book
                        .tally()
                        .count(operation.verb.name(), Effect::Same, Answer::Nothing);
                } else {
                    let send = Send::delete(operation.place.path());
                    self.tell(operation, Effect::Lower, Reach::Unasked, send)
                        .await;
                }
                if operation.verb == Verb::Recreate {
                    self.create(operation).await;
                }
            }
            _ => match self.look(&operation.place).await? {
                Some(object) => self.change(operation, object).await,
                None => self.create(operation).await,
            },
        }
        Ok(())
    }

    async fn create(&self, operation: &Operation) {
        let told = if operation.verb == Verb::Stop {
            Told::Stop
        } else {
            Told::Run
        };
        let place = &operation.place;
        let object = objects::make(place, operation.index, operation.roll, told);
        let effect = match told {
            Told::Run => Effect::Rise,
            Told::Stop => Effect::Same,
        };
        let known = self.reader.revision();
        self.book.attempts().creates.insert(operation.index, known);
        let send = Send::json(Method::POST, place.collection(), object).replaces(place, 0);
        let answers = self.send(operation.index, send).await;
        self.account(operation, "create", effect, Reach::Levers, answers)
            .await;
    }

    async fn change(&self, operation: &Operation, old: Value) {
        let place = &operation.place;
        let kind = place.kind;
        let mut new = old.clone();
        let number = operation.index.to_string();
        objects::set(
            &mut new,
            &["metadata", "annotations", OPERATION],
            json!(number),
        );
        match &operation.verb {
            Verb::Start => objects::tell(kind, &mut new, Told::Run),
            Verb::Stop => objects::tell(kind, &mut new, Told::Stop),
            Verb::Flip => {
                let other = match objects::told(kind, &old) {
                    Told::Run => Told::Stop,
                    Told::Stop => Told::Run,
                };
                objects::tell(kind, &mut new, other);
            }
            Verb::Count(count) | Verb::Scale(count) => objects::count(kind, &mut new, *count),
            Verb::Upgrade => objects::upgrade(kind, &mut new, operation.roll),
            _ => {}
        }
        // What the API server does before it asks: a new spec is not what the status speaks of.
        let mut judged = new.clone();
        if old.get("spec") != new.get("spec") {
            let generation = old.pointer("/metadata/generation").and_then(Value::as_i64);
            let next = generation.unwrap_or_default() + 1;
            objects::set(&mut judged, &["metadata", "generation"], json!(next));
        }
        let effect = Effect::of(charge(kind, &old), charge(kind, &judged));
        let version = old
            .pointer("/metadata/resourceVersion")
            .and_then(Value::as_str);
        let base = version
            .and_then(|version| version.parse().ok())
            .unwrap_or_default();
        let update = Update {
            operation: operation.index,
            scales: matches!(operation.verb, Verb::Scale(_)) && kind != Kind::FlinkDeployment,
            known: self.reader.revision(),
        };
        self.book
            .attempts()
            .updates
            .entry((place.clone(), base))
            .or_default()
            .push(update);
        let reach = match operation.verb {
            Verb::Upgrade => Reach::More,
            Verb::Count(_) | Verb::Scale(_) if kind == Kind::FlinkDeployment => Reach::Figure,
            _ if kind == Kind::SessionCluster => Reach::Unasked,
            _ => Reach::Levers,
        };
        let send = match operation.verb {
            Verb::Scale(count) if update.scales => {
                let scale = json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "spec": {"replicas": count},
                    "metadata": {"name": place.name, "namespace": place.namespace, "resourceVersion": version}});
                Send::json(Method::PUT, format!("{}/scale", place.path()), scale)
            }
            _ => Send::json(Method::PUT, place.path(), new),
        };
        let send = send.replaces(place, base);
        self.tell(operation, effect, reach, send).await;
    }

    async fn tell(&self, operation: &Operation, effect: Effect, reach: Reach, send: Send) {
        let answers = self.send(operation.index, send).await;
        self.account(operation, operation.verb.name(), effect, reach, answers)
            .await;
    }

    /// Each answer is judged, the last one is counted.
    async fn account(
        &self,
        operation: &Operation,
        verb: &'static str,
        effect: Effect,
        reach: Reach,
        mut answers: Vec<Answer>,
    ) {
        let what = format!("{verb} of {}", operation.place);
        let broken: Vec<_> = answers
            .iter()
            .filter_map(|answer| judge(operation.index, &what, effect, reach, answer))
            .collect();
        self.book.tally().violations.extend(broken);
        let Some(last) = answers.pop() else { return };
        let pause = last.is_trouble();
        self.book.tally().count(verb, effect, last);
        if pause {
            sleep(PAUSE).await;
        }
    }

    /// What stands there. A control plane that is away is waited for: an operation is meant to be tried.
    async fn look(&self, place: &Place) -> anyhow::Result<Option<Value>> {
        let deadline = Instant::now() + LOOK_WITHIN;
        loop {
            let request = hyper::Request::get(place.path()).body(Vec::new())?;
            let why = match timeout(ANSWER_WITHIN, self.client.request::<Value>(request)).await {
                Ok(Ok(object)) => return Ok(Some(object)),
                Ok(Err(kube::Error::Api(status))) if status.code == 404 => return Ok(None),
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no answer".to_owned(),
            };
            anyhow::ensure!(Instant::now() < deadline, "{place} cannot be read: {why}");
            sleep(PAUSE).await;
        }
    }

    /// Sends it, and again where Sluice asks for that; all answers, in their order.
    async fn send(&self, operation: u64, send: Send) -> Vec<Answer> {
        let body = send.body.as_ref().map(|body| body.to_string().into_bytes());
        let body = body.unwrap_or_default();
        let mut answers = vec![self.send_once(&send, body.clone()).await];
        for _ in 0..RESENDS {
            if !answers.last().is_some_and(Answer::asks_again) {
                break;
            }
            sleep(RESEND_AFTER).await;
            if let Some((place, base)) = &send.replaces {
                // What was refused was not written: whatever is, was sent now.
                let known = self.reader.revision();
                self.book.attempts().renew(place, *base, operation, known);
            }
            answers.push(self.send_once(&send, body.clone()).await);
        }
        answers
    }

    async fn send_once(&self, send: &Send, body: Vec<u8>) -> Answer {
        let request = hyper::Request::builder()
            .method(send.method.clone())
            .uri(&send.path)
            .header(hyper::header::CONTENT_TYPE, send.content_type)
            .body(body);
        let request = match request {
            Ok(request) => request,
            Err(error) => return Answer::Other(error.to_string()),
        };
        let at = Instant::now();
        let answer = match timeout(ANSWER_WITHIN, self.client.request::<Value>(request)).await {
            Ok(Ok(_)) => Answer::Done,
            Ok(Err(error)) => Answer::of(&error),
            Err(_) => Answer::Silence,
        };
        if let Some((place, base)) = &send.replaces {
            self.book.sent().push(Sent {
                place: place.clone(),
                base: *base,
                at,
                answered: Instant::now(),
                answer: answer.to_string(),
            });
        }
        answer
    }
}
