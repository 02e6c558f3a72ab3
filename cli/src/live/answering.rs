//! An API server of canned answers, for tests of what is asked and what becomes of refusals. What a real one answers is tested in
//! `tests/tests/operate`.

use kube::{Client, Config};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

/// Answers until the test's process ends.
pub(crate) struct Answering {
    /// Where.
    pub(crate) url: String,
}

impl Answering {
    /// Answers each path, without its query, with a code and a body.
    pub(crate) fn with(answer: impl Fn(&str) -> (u16, Value) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                one(stream.unwrap(), &answer);
            }
        });
        Self { url }
    }

    /// A client of it.
    pub(crate) fn client(&self) -> Client {
        Client::try_from(Config::new(self.url.parse().unwrap())).unwrap()
    }

    /// A kubeconfig that leads to it.
    pub(crate) fn kubeconfig(&self) -> String {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": self.url}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        })
        .to_string()
    }
}

/// What an API server says instead of an answer.
pub(crate) fn refusal(code: u16, message: &str) -> (u16, Value) {
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": "",
        "code": code});
    (code, status)
}

/// A request a connection: nothing here is worth keeping one open.
fn one(mut stream: TcpStream, answer: &impl Fn(&str) -> (u16, Value)) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let Some(Ok(first)) = lines.next() else {
        return;
    };
    // Nothing that is asked here has a body.
    for _ in lines
        .by_ref()
        .take_while(|line| line.as_ref().is_ok_and(|line| !line.is_empty()))
    {}
    let path = first.split(' ').nth(1).unwrap_or_default();
    let (code, body) = answer(path.split('?').next().unwrap_or_default());
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 {code} .\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).unwrap();
}
