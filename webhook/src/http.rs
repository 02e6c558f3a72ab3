//! `/mutate` and `/validate` over HTTP: reads the body, asks the gate, writes the reply, counts.

mod delivery;

use crate::gate::{Decision, Endpoint, Gate, Verb, subject};
use crate::metrics::{Answered, Metrics};
use crate::quota::Hold;
use crate::review::answers::{Answers, Kept};
use crate::review::body::{granted, receive};
use crate::review::request::parse;
use crate::review::room::{Full, Room, Share};
use crate::review::rules::{self, MALFORMED, SLOW, TOO_LARGE};
use crate::review::uid::LONGEST;
use crate::review::{Limits, Parsed, Received, Reply, Subject};
use crate::telemetry::{self, Seen, Traces};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Response};
use axum::routing::post;
use delivery::ReplyBody;
use sluice_policy::Refusal;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What is granted where the API server does not say (it always does).
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// No request is worked on for longer, whatever the caller grants: the API server's own maximum.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Characters of a content type. `application/json` is the only one that is read, with a parameter or two.
const LONGEST_TYPE: usize = 128;

/// The answer must travel back.
const TRAVEL: Duration = Duration::from_millis(100);

/// What the handlers share.
pub struct Service {
    gate: Gate,
    metrics: Arc<Metrics>,
    limits: Limits,
    room: Room,
    answers: Answers,
    traces: Option<Arc<Traces>>,
}

impl Service {
    /// Handlers over a gate.
    pub fn new(gate: Gate, metrics: Arc<Metrics>, limits: Limits) -> Self {
        Self {
            gate,
            metrics,
            room: Room::new(limits.room),
            answers: Answers::default(),
            limits,
            traces: None,
        }
    }

    /// Tells spans too.
    #[must_use]
    pub fn traces(mut self, traces: Option<Arc<Traces>>) -> Self {
        self.traces = traces;
        self
    }

    /// The routes.
    pub fn router(self) -> Router {
        Router::new()
            .route("/mutate", post(mutate))
            .route("/validate", post(validate))
            .with_state(Arc::new(self))
    }

    async fn answer(&self, endpoint: Endpoint, request: Request) -> Response<Body> {
        let timeout = granted(request.uri().query())
            .unwrap_or(DEFAULT_TIMEOUT)
            .min(LONGEST_TIMEOUT);
        let began = Instant::now();
        let due = began + timeout.saturating_sub(TRAVEL);
        // All else that came with the head goes now: as long as a body may take, a crowd of long heads would fill the memory.
        let (said, body) = {
            let (parts, body) = request.into_parts();
            let mut said = Said::of(&parts.headers);
            if self.traces.is_some() {
                said.parents = telemetry::parents(&parts.headers);
            }
            (said, body)
        };
        let announced = said.length;
        let received = receive(body, announced, self.limits, &self.room, due).await;
        let arrived = Instant::now();
        match received {
            Received::Whole { bytes, share } => {
                self.judge(endpoint, &said, bytes, share, due, arrived)
                    .await
            }
            Received::TooLarge { uid } => {
                let megabytes = self.limits.keep >> 20;
                let refusal = rules::refusal(
                    &TOO_LARGE,
                    "",
                    format!(
                        "the review is larger than {megabytes} MiB; make the object smaller, for example by moving large texts into a ConfigMap"
                    ),
                );
                self.refuse(endpoint, uid, &refusal, arrived)
            }
            Received::Crowded { uid } => {
                let message = "too many other reviews were on their way; send the request again";
                self.refuse(endpoint, uid, &rules::refusal(&SLOW, "", message), arrived)
            }
            Received::Slow { uid } => {
                let message = "the review did not arrive in time; send the request again";
                self.refuse(endpoint, uid, &rules::refusal(&SLOW, "", message), arrived)
            }
            Received::Broken { uid } => {
                let message = "the body broke off; send the request again";
                self.refuse(
                    endpoint,
                    uid,
                    &rules::refusal(&MALFORMED, "", message),
                    arrived,
                )
            }
        }
    }

    async fn judge(
        &self,
        endpoint: Endpoint,
        said: &Said,
        bytes: Bytes,
        mut share: Share,
        due: Instant,
        arrived: Instant,
    ) -> Response<Body> {
        let mut request = match parse(said.content_type.as_deref(), &bytes) {
            Parsed::Request(request) => request.into_owned(),
            Parsed::Refused { uid, refusal } => {
                return self.refuse(endpoint, Some(uid), &refusal, arrived);
            }
        };
        // A silent ledger takes seconds, and those who have nothing to do with it need the room.
        drop(bytes);
        share.shrink(request.lasting());
        let deciding = self.gate.decide(endpoint, &mut request, due);
        let decided = tokio::time::timeout_at(due, deciding).await;
        let mut decision = decided.unwrap_or_else(|_| {
            let message = format!(
                "{}: could not be judged in time; send the request again",
                subject(&request)
            );
            let refusal = rules::refusal(&SLOW, "", message);
            Decision {
                raw: Some(refusal.rule),
                refusal: Some(refusal),
                ..Decision::default()
            }
        });
        let subject = Subject {
            group: decision
                .kind
                .map_or(request.kind.group.as_ref(), |kind| kind.group),
            kind: decision
                .kind
                .map_or(request.kind.kind.as_ref(), |kind| kind.kind),
            name: &request.name,
        };
        let mut encoded = Reply {
            uid: &request.uid,
            subject,
            refusal: decision.refusal.as_ref(),
            patch: &decision.patch,
            warnings: &decision.warnings,
        }
        .encode();
        let kept = self.answers.keep(encoded.len()).unwrap_or_else(|Full| {
            let refusal = crowded();
            encoded = short(&request.uid, &refusal);
            decision = Decision {
                kind: decision.kind,
                ledger: decision.ledger,
                raw: Some(refusal.rule),
                refusal: Some(refusal),
                ..Decision::default()
            };
            Kept::default()
        });
        let answered = Answered {
            endpoint,
            kind: decision.kind.map_or("unknown", |kind| kind.kind),
            verb: Verb::of(&request),
            raw: decision.raw.map(|rule| rule.id),
            denied: decision.refusal.is_some(),
            took: arrived.elapsed(),
            ledger: decision.ledger,
        };
        self.metrics.answered(&answered);
        if let Some(traces) = &self.traces {
            let seen = Seen {
                headers: &said.parents,
                uid: &request.uid,
                namespace: &request.namespace,
                name: &request.name,
                dry_run: request.dry_run.unwrap_or(false),
            };
            traces.review(&seen, &answered);
        }
        tracing::debug!(
            endpoint = endpoint.word(),
            uid = %request.uid,
            kind = answered.kind,
            operation = answered.verb.word(),
            namespace = %request.namespace,
            name = %request.name,
            rule = answered.raw.unwrap_or(""),
            allowed = !answered.denied,
            dry_run = request.dry_run.unwrap_or(false),
            micros = u64::try_from(answered.took.as_micros()).unwrap_or(u64::MAX),
            "answered"
        );
        respond(encoded, kept, decision.hold)
    }

    fn refuse(
        &self,
        endpoint: Endpoint,
        uid: Option<String>,
        refusal: &Refusal,
        arrived: Instant,
    ) -> Response<Body> {
        let uid = uid.unwrap_or_default();
        tracing::warn!(
            endpoint = endpoint.word(),
            uid,
            rule = refusal.rule.id,
            message = refusal.message,
            "refused unread"
        );
        self.metrics.answered(&Answered {
            endpoint,
            kind: "unknown",
            verb: Verb::Unknown,
            raw: Some(refusal.rule.id),
            denied: true,
            took: arrived.elapsed(),
            ledger: None,
        });
        let mut encoded = Reply {
            uid: &uid,
            refusal: Some(refusal),
            ..Reply::default()
        }
        .encode();
        let kept = self.answers.keep(encoded.len()).unwrap_or_else(|Full| {
            encoded = short(&uid, &crowded());
            Kept::default()
        });
        respond(encoded, kept, None)
    }
}

/// What is kept of a request's head.
struct Said {
    content_type: Option<String>,
    length: Option<usize>,
    /// Only where spans are told.
    parents: HeaderMap,
}

impl Said {
    fn of(headers: &HeaderMap) -> Self {
        let text = |name| {
            let value: Option<&HeaderValue> = headers.get(name);
            value.map(|value| value.to_str().unwrap_or("?"))
        };
        Self {
            content_type: text(CONTENT_TYPE).map(|said| said.chars().take(LONGEST_TYPE).collect()),
            length: text(CONTENT_LENGTH).and_then(|length| length.parse().ok()),
            parents: HeaderMap::new(),
        }
    }
}

/// Instead of a long answer, where too many of them wait to be taken.
fn crowded() -> Refusal {
    let message = "too many long answers wait to be taken; send the request again";
    rules::refusal(&SLOW, "", message)
}

/// An answer that needs no room. API servers' uids have 36 characters.
fn short(uid: &str, refusal: &Refusal) -> Vec<u8> {
    Reply {
        uid: if uid.len() > LONGEST { "" } else { uid },
        refusal: Some(refusal),
        ..Reply::default()
    }
    .encode()
}

fn respond(encoded: Vec<u8>, kept: Kept, hold: Option<Box<dyn Hold>>) -> Response<Body> {
    let mut response = Response::new(Body::new(ReplyBody::new(encoded, kept, hold)));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

async fn mutate(State(service): State<Arc<Service>>, request: Request) -> Response<Body> {
    service.answer(Endpoint::Mutate, request).await
}

async fn validate(State(service): State<Arc<Service>>, request: Request) -> Response<Body> {
    service.answer(Endpoint::Validate, request).await
}
