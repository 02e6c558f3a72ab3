//! A Kubernetes API of one Secret and some webhook configurations, with resource versions that matter.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::BodyExt;
use hyper::{Method, Request, Response, StatusCode};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use kube::client::Body;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// Objects by path, and what was done to them.
#[derive(Default)]
pub struct Fake {
    pub objects: BTreeMap<String, Value>,
    pub applied: Vec<(String, String)>,
    /// Paths whose write came too late.
    pub conflicts: Vec<String>,
    /// Paths of what was stored.
    pub stored: Vec<String>,
    /// What its clock shows, where it tells.
    pub clock: Option<Timestamp>,
    pub down: bool,
    pub check: Option<Check>,
    version: u64,
}

/// Called after each change, with everything that is stored.
type Check = Box<dyn Fn(&Fake) + Send>;

pub type Shared = Arc<Mutex<Fake>>;

pub fn client(fake: &Shared) -> kube::Client {
    client_for(fake, Arc::new(AtomicUsize::new(usize::MAX)))
}

/// A client that dies with its process: once `left` is 0, nothing that it asks for is done nor answered.
pub fn client_for(fake: &Shared, left: Arc<AtomicUsize>) -> kube::Client {
    let fake = Arc::clone(fake);
    let service = tower::service_fn(move |request: Request<Body>| {
        let fake = Arc::clone(&fake);
        let left = Arc::clone(&left);
        async move {
            if left
                .fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1))
                .is_err()
            {
                std::future::pending::<()>().await;
            }
            let (parts, body) = request.into_parts();
            let bytes = body.collect().await.unwrap().to_bytes();
            // Let the other replicas get between a read and the write that follows it.
            tokio::task::yield_now().await;
            let sent: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
            let mut fake = fake.lock().unwrap();
            let (status, answer) =
                fake.answer(&parts.method, parts.uri.path(), parts.uri.query(), sent);
            let mut response = Response::builder().status(status);
            if let Some(clock) = &fake.clock {
                let date = DateTimePrinter::new().timestamp_to_rfc9110_string(clock);
                response = response.header("date", date.unwrap());
            }
            let body = Body::from(answer.to_string().into_bytes());
            Ok::<_, Infallible>(response.body(body).unwrap())
        }
    });
    kube::Client::new(service, "default")
}

fn failure(code: u16, reason: &str) -> (StatusCode, Value) {
    (
        StatusCode::from_u16(code).unwrap(),
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
               "message": reason, "reason": reason, "code": code}),
    )
}

impl Fake {
    pub fn with_configurations(names: &[&str]) -> Shared {
        let mut fake = Self::default();
        for name in names {
            fake.install(name);
        }
        Arc::new(Mutex::new(fake))
    }

    pub fn install(&mut self, name: &str) {
        self.version += 1;
        self.objects.insert(
            format!("/apis/admissionregistration.k8s.io/v1/{name}"),
            json!({"metadata": {"name": name.rsplit('/').next(), "resourceVersion": self.version.to_string()},
                   "webhooks": [{"name": "a.sluice.dev", "clientConfig": {"url": "https://127.0.0.1:1/a"}}]}),
        );
    }

    pub fn bundle(&self, name: &str) -> String {
        let object = &self.objects[&format!("/apis/admissionregistration.k8s.io/v1/{name}")];
        let encoded = object["webhooks"][0]["clientConfig"]["caBundle"]
            .as_str()
            .unwrap_or("");
        String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap()
    }

    fn answer(
        &mut self,
        method: &Method,
        path: &str,
        query: Option<&str>,
        sent: Value,
    ) -> (StatusCode, Value) {
        if self.down {
            return failure(503, "ServiceUnavailable");
        }
        match *method {
            Method::GET => match self.objects.get(path) {
                Some(object) => (StatusCode::OK, object.clone()),
                None => failure(404, "NotFound"),
            },
            Method::POST => {
                let path = format!("{path}/{}", sent["metadata"]["name"].as_str().unwrap());
                if self.objects.contains_key(&path) {
                    self.conflicts.push(path);
                    return failure(409, "AlreadyExists");
                }
                self.store(path, sent)
            }
            Method::PUT => {
                let Some(held) = self.objects.get(path) else {
                    return failure(404, "NotFound");
                };
                if held["metadata"]["resourceVersion"] != sent["metadata"]["resourceVersion"] {
                    self.conflicts.push(path.to_owned());
                    return failure(409, "Conflict");
                }
                self.store(path.to_owned(), sent)
            }
            Method::PATCH => {
                self.applied
                    .push((path.to_owned(), query.unwrap_or("").to_owned()));
                let Some(mut held) = self.objects.get(path).cloned() else {
                    return failure(404, "NotFound");
                };
                let read = &sent["metadata"]["resourceVersion"];
                if !read.is_null() && held["metadata"]["resourceVersion"] != *read {
                    self.conflicts.push(path.to_owned());
                    return failure(409, "Conflict");
                }
                for entry in sent["webhooks"].as_array().unwrap() {
                    for webhook in held["webhooks"].as_array_mut().unwrap() {
                        if webhook["name"] == entry["name"] {
                            webhook["clientConfig"]["caBundle"] =
                                entry["clientConfig"]["caBundle"].clone();
                        }
                    }
                }
                self.store(path.to_owned(), held)
            }
            _ => failure(405, "MethodNotAllowed"),
        }
    }

    fn store(&mut self, path: String, mut object: Value) -> (StatusCode, Value) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        if let Some(clock) = self.clock {
            object["metadata"]["managedFields"] = json!([{"manager": "sluice-certs", "operation": "Update", "time": clock.to_string()}]);
        }
        self.stored.push(path.clone());
        self.objects.insert(path, object.clone());
        if let Some(check) = self.check.take() {
            check(self);
            self.check = Some(check);
        }
        (StatusCode::OK, object)
    }
}
