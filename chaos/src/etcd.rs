//! etcd's own history over its JSON gateway (plain HTTP on loopback, part of every etcd): a watch from the first revision, taken up
//! again where it broke off. No client of ours: one streamed answer is not worth tonic and its generated code.

use crate::history::{self, Change, State, Written};
use crate::holds::Holds;
use crate::place::Place;
use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// A key that only this program writes, to know when everything before it has been read.
const MARKER: &str = "/registry/chaos.sluice.dev/marker";

/// What has been read.
#[derive(Debug, Default)]
pub struct Tape {
    /// All changes of workloads and quotas.
    pub changes: Vec<Change>,
    /// What stands after them.
    pub state: State,
    /// Workloads as they are stored, with their revisions.
    pub objects: BTreeMap<Place, (Value, u64)>,
    /// What became of holds.
    pub holds: Holds,
    /// The newest revision read, of whatever key.
    pub revision: u64,
    /// What could not be read.
    pub unreadable: Option<String>,
}

/// The reader, to be asked from everywhere.
#[derive(Clone, Debug)]
pub struct Reader {
    port: u16,
    tape: Arc<Mutex<Tape>>,
}

impl Reader {
    /// Of the etcd on this port.
    pub fn new(port: u16) -> Self {
        Self {
            port,
            tape: Arc::default(),
        }
    }

    /// What has been read so far.
    pub fn tape(&self) -> MutexGuard<'_, Tape> {
        self.tape.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest revision that has been read.
    pub fn revision(&self) -> u64 {
        self.tape().revision
    }

    /// Reads until it is dropped, through restarts of etcd.
    pub async fn read(self) {
        loop {
            // Whatever ends a watch, an etcd that was killed most often: the next one goes on from the next revision.
            let _ = self.watch().await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until everything that was written before this call has been read.
    pub async fn caught_up(&self, within: Duration) -> anyhow::Result<()> {
        let put = json!({"key": STANDARD.encode(MARKER), "value": STANDARD.encode("x")});
        let answer = post(self.port, "/v3/kv/put", &put).await?;
        let body = answer.into_body().collect().await?.to_bytes();
        let answer: Value = serde_json::from_slice(&body)?;
        let revision = number(answer.pointer("/header/revision"))
            .with_context(|| format!("etcd says {answer}"))?;
        let wait = async {
            while self.revision() < revision {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(within, wait)
            .await
            .with_context(|| format!("revision {revision} was not read within {within:?}"))
    }

    async fn watch(&self) -> anyhow::Result<()> {
        let from = self.revision() + 1;
        let create = json!({"create_request": {
            "key": STANDARD.encode("/registry/"), "range_end": STANDARD.encode("/registry0"), "start_revision": from.to_string(),
        }});
        let answer = post(self.port, "/v3/watch", &create).await?;
        let mut body = answer.into_body();
        let mut buffer = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else {
                continue;
            };
            buffer.extend_from_slice(&data);
            while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = buffer.drain(..=end).collect();
                self.take(&serde_json::from_slice(&line)?)?;
            }
        }
        Ok(())
    }

    fn take(&self, message: &Value) -> anyhow::Result<()> {
        let Some(result) = message.get("result") else {
            bail!("etcd says {message}");
        };
        if result.get("canceled").and_then(Value::as_bool) == Some(true) {
            bail!("the watch was cancelled: {result}");
        }
        let events = result.get("events").and_then(Value::as_array);
        let mut tape = self.tape();
        for event in events.into_iter().flatten() {
            if let Err(error) = tape.event(event) {
                tape.unreadable.get_or_insert(format!("{error:#}"));
            }
        }
        Ok(())
    }
}

impl Tape {
    fn event(&mut self, event: &Value) -> anyhow::Result<()> {
        let revision = number(event.pointer("/kv/mod_revision")).context("no revision")?;
        self.revision = self.revision.max(revision);
        let key = text(event.pointer("/kv/key")).context("no key")?;
        let key = String::from_utf8(key)?;
        if !key.starts_with("/registry/sluice.dev/")
            && !key.starts_with("/registry/flink.apache.org/")
        {
            return Ok(());
        }
        let is_end = event.get("type").and_then(Value::as_str) == Some("DELETE");
        let value: Option<Value> = if is_end {
            None
        } else {
            let bytes = text(event.pointer("/kv/value")).context("no value")?;
            Some(serde_json::from_slice(&bytes).with_context(|| key.clone())?)
        };
        let Some(change) =
            history::decode(&key, value.as_ref(), revision).with_context(|| key.clone())?
        else {
            return Ok(());
        };
        let before = self.state.apply(&change);
        match &change.what {
            Written::Workload(_, Some(now)) => {
                let before = before.filter(|(before, _)| before.uid == now.uid);
                match before {
                    None => self.holds.written(&now.uid, 0),
                    Some((before, base)) if before.generation < now.generation => {
                        self.holds.written(&now.uid, base);
                    }
                    Some(_) => {}
                }
            }
            Written::Quota(quota, limit) => {
                let ledger = limit.as_ref().and_then(|limit| limit.ledger.as_ref());
                let holds = ledger.map(|told| told.holds.as_slice());
                self.holds
                    .quota(quota, holds.unwrap_or_default(), Instant::now());
            }
            Written::Workload(_, None) => {}
        }
        if let Written::Workload(place, _) = &change.what {
            match value {
                Some(value) => self.objects.insert(place.clone(), (value, revision)),
                None => self.objects.remove(place),
            };
        }
        self.changes.push(change);
        Ok(())
    }
}

/// int64 is a text in protobuf's JSON.
fn number(value: Option<&Value>) -> Option<u64> {
    value?.as_str()?.parse().ok()
}

fn text(value: Option<&Value>) -> Option<Vec<u8>> {
    STANDARD.decode(value?.as_str()?).ok()
}

async fn post(port: u16, path: &str, body: &Value) -> anyhow::Result<Response<Incoming>> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::post(path)
        .header("host", "127.0.0.1")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body.to_string())))?;
    let answer = sender.send_request(request).await?;
    if !answer.status().is_success() {
        bail!("etcd answers {} to {path}", answer.status());
    }
    Ok(answer)
}
