//! Events about refusals for quota: written behind the answer, never in its way, never twice for the same thing.

use crate::metrics::Metrics;
use crate::quota::Incident;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Api, PostParams};
use sluice_policy::KindInfo;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Events that may wait to be written; more are dropped and counted.
const WAITING: usize = 128;

/// The same refusal of the same object is not told again for this long: clients resend by themselves.
const QUIET: Duration = Duration::from_mins(1);

/// Refusals remembered at most; beyond it, old ones are forgotten.
const REMEMBERED: usize = 1024;

/// An API server that cannot take an Event just now (429, 503, 504) is offered it again after each of these; then it is lost.
const AGAIN: [Duration; 3] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(3),
];

/// An API server that hangs is given up after this long: others wait to be told meanwhile.
const CALL: Duration = Duration::from_secs(10);

/// Kubernetes takes notes of at most 1024 bytes.
const LONGEST_NOTE: usize = 1024;

/// Takes Events without ever waiting.
#[derive(Clone, Debug)]
pub struct Events {
    queue: mpsc::Sender<Note>,
    metrics: Arc<Metrics>,
}

/// One Event to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// About which object.
    pub regarding: ObjectReference,
    /// `reason`, one word.
    pub reason: &'static str,
    /// `type`: Normal or Warning.
    pub event_type: &'static str,
    /// What it is about, for telling it once only.
    pub subject: String,
    /// The sentence.
    pub note: String,
}

impl Events {
    /// A queue and its other end.
    pub fn queue(metrics: Arc<Metrics>) -> (Self, mpsc::Receiver<Note>) {
        let (queue, receiver) = mpsc::channel(WAITING);
        (Self { queue, metrics }, receiver)
    }

    /// On the quota.
    pub fn on_quota(&self, incident: &Incident) {
        let quota = &incident.quota;
        self.push(
            ObjectReference {
                api_version: Some(sluice_api::API_VERSION.to_owned()),
                kind: Some(quota.kind.to_owned()),
                namespace: Some(quota.namespace.clone()).filter(|namespace| !namespace.is_empty()),
                name: Some(quota.name.clone()),
                uid: Some(quota.uid.clone()),
                ..ObjectReference::default()
            },
            incident,
        );
    }

    /// On the workload that the incident is about.
    pub fn on_workload(
        &self,
        kind: &KindInfo,
        namespace: &str,
        name: &str,
        uid: &str,
        incident: &Incident,
    ) {
        self.push(
            ObjectReference {
                api_version: Some(format!("{}/{}", kind.group, kind.version)),
                kind: Some(kind.kind.to_owned()),
                namespace: Some(namespace.to_owned()),
                name: Some(name.to_owned()),
                uid: Some(uid.to_owned()),
                ..ObjectReference::default()
            },
            incident,
        );
    }

    fn push(&self, regarding: ObjectReference, incident: &Incident) {
        let note = Note {
            regarding,
            reason: incident.reason.as_str(),
            event_type: incident.reason.event_type().as_str(),
            subject: incident.subject.clone(),
            note: cut(&incident.note),
        };
        if self.queue.try_send(note).is_err() {
            self.metrics.event("dropped");
        }
    }
}

/// Writes what comes out of the queue until all its senders are gone.
pub async fn write(
    client: kube::Client,
    mut queue: mpsc::Receiver<Note>,
    instance: String,
    metrics: Arc<Metrics>,
) {
    let mut told: HashMap<(Option<String>, &'static str, String), Instant> = HashMap::new();
    while let Some(note) = queue.recv().await {
        let now = Instant::now();
        if told.len() >= REMEMBERED {
            told.retain(|_, at| now.duration_since(*at) < QUIET);
        }
        if told.len() >= REMEMBERED {
            told.clear();
        }
        let key = (
            note.regarding.uid.clone(),
            note.reason,
            note.subject.clone(),
        );
        if told
            .get(&key)
            .is_some_and(|at| now.duration_since(*at) < QUIET)
        {
            metrics.event("repeated");
            continue;
        }
        told.insert(key, now);
        let event = event(&note, &instance, Timestamp::now());
        let namespace = event.metadata.namespace.clone().unwrap_or_default();
        let api: Api<Event> = Api::namespaced(client.clone(), &namespace);
        match create(&api, &event).await {
            Ok(()) => metrics.event("written"),
            Err(error) => {
                metrics.event("failed");
                tracing::warn!(%error, reason = note.reason, "an Event could not be written");
            }
        }
    }
}

/// Why an Event is lost.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error(transparent)]
    Refused(#[from] kube::Error),
    #[error("the API server did not answer within {} s", CALL.as_secs())]
    Unanswered,
}

async fn create(api: &Api<Event>, event: &Event) -> Result<(), Lost> {
    for pause in AGAIN {
        match offer(api, event).await {
            Err(Lost::Refused(kube::Error::Api(status)))
                if matches!(status.code, 429 | 503 | 504) =>
            {
                tokio::time::sleep(pause).await;
            }
            ended => return ended,
        }
    }
    offer(api, event).await
}

async fn offer(api: &Api<Event>, event: &Event) -> Result<(), Lost> {
    let params = PostParams::default();
    let asked = tokio::time::timeout(CALL, api.create(&params, event)).await;
    asked.map_err(|_| Lost::Unanswered)??;
    Ok(())
}

fn event(note: &Note, instance: &str, now: Timestamp) -> Event {
    // Events about objects beside all namespaces stand in `default`.
    let namespace = note
        .regarding
        .namespace
        .clone()
        .unwrap_or_else(|| "default".to_owned());
    let name = note.regarding.name.as_deref().unwrap_or("unnamed");
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{name}.{:016x}", rand::random::<u64>())),
            namespace: Some(namespace),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(now)),
        action: Some("Admission".to_owned()),
        reason: Some(note.reason.to_owned()),
        type_: Some(note.event_type.to_owned()),
        note: Some(note.note.clone()),
        regarding: Some(note.regarding.clone()),
        reporting_controller: Some("sluice.dev/webhook".to_owned()),
        reporting_instance: Some(instance.to_owned()),
        ..Event::default()
    }
}

fn cut(note: &str) -> String {
    if note.len() <= LONGEST_NOTE {
        return note.to_owned();
    }
    let mut end = LONGEST_NOTE - 3;
    while !note.is_char_boundary(end) {
        end -= 1;
    }
    let (kept, _) = note.split_at(end);
    format!("{kept}...")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{Request, Response};
    use std::convert::Infallible;
    use std::sync::Mutex;

    /// An API server that gives these answers, then none.
    fn answering(codes: &[u16]) -> (kube::Client, Arc<Mutex<Vec<u16>>>) {
        let left: Vec<u16> = codes.iter().rev().copied().collect();
        let left = Arc::new(Mutex::new(left));
        let codes = Arc::clone(&left);
        let service = tower::service_fn(move |_: Request<kube::client::Body>| {
            let code = codes.lock().unwrap().pop().unwrap();
            let body = if code == 201 {
                serde_json::to_vec(&Event::default()).unwrap()
            } else {
                format!(r#"{{"kind":"Status","apiVersion":"v1","status":"Failure","code":{code}}}"#)
                    .into_bytes()
            };
            let answer = Response::builder()
                .status(code)
                .body(kube::client::Body::from(body));
            async move { Ok::<_, Infallible>(answer.unwrap()) }
        });
        (kube::Client::new(service, "default"), left)
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_api_server_is_offered_an_event_again_and_no_more_than_thrice() {
        for (codes, is_written, unasked) in [
            (&[429, 503, 504, 201][..], true, 0),
            (&[503, 201], true, 0),
            (&[429, 429, 429, 429, 201], false, 1),
            (&[403, 201], false, 1),
        ] {
            let (client, left) = answering(codes);
            let api: Api<Event> = Api::namespaced(client, "team-a");
            let written = create(&api, &Event::default()).await;
            assert_eq!(written.is_ok(), is_written, "{codes:?}: {written:?}");
            assert_eq!(left.lock().unwrap().len(), unasked, "{codes:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_api_server_that_hangs_holds_the_next_events_up_for_seconds_only() {
        let unanswered = |_: Request<kube::client::Body>| {
            std::future::pending::<Result<Response<kube::client::Body>, Infallible>>()
        };
        let client = kube::Client::new(tower::service_fn(unanswered), "default");
        let api: Api<Event> = Api::namespaced(client, "team-a");
        let event = Event::default();
        let asked = tokio::time::timeout(CALL * 2, create(&api, &event)).await;
        assert!(matches!(asked, Ok(Err(Lost::Unanswered))), "{asked:?}");
    }
}
