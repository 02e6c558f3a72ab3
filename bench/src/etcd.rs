//! Objects written into etcd behind the API server's back: a hundred thousand in seconds, where it would take minutes. API server
//! and watches see them as any others.

use anyhow::ensure;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

/// A connection to etcd's JSON gateway, in plain HTTP on loopback.
pub struct Etcd(SendRequest<Full<Bytes>>);

impl Etcd {
    /// Connects.
    pub async fn connect(port: u16) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self(sender))
    }

    /// Writes objects under their keys (below `/registry/`), one after the other: of several that one transaction writes, and that so have one
    /// revision, an API server may tell its watchers only some.
    pub async fn put(
        &mut self,
        objects: impl Iterator<Item = (String, Value)>,
    ) -> anyhow::Result<()> {
        for (key, object) in objects {
            let pair = json!({
                "key": STANDARD.encode(format!("/registry/{key}")),
                "value": STANDARD.encode(object.to_string()),
            });
            self.write(pair.to_string()).await?;
        }
        Ok(())
    }

    async fn write(&mut self, body: String) -> anyhow::Result<()> {
        let request = Request::post("/v3/kv/put")
            .header("host", "127.0.0.1")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))?;
        self.0.ready().await?;
        let answer = self.0.send_request(request).await?;
        let status = answer.status();
        let text = answer.into_body().collect().await?.to_bytes();
        ensure!(
            status.is_success(),
            "etcd answers {status}: {}",
            String::from_utf8_lossy(&text)
        );
        Ok(())
    }
}
