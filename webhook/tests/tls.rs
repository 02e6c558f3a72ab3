//! The server with real clients: HTTP/1.1 keep-alive, HTTP/2, slow clients, a certificate that changes, the end.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic
)] // a test's own failures

#[path = "support/server.rs"]
mod server;
mod support;

use hyper_util::rt::{TokioExecutor, TokioIo};
use jiff::Timestamp;
use serde_json::Value;
use server::{ClientCa, SOON, post, start, start_for, uid_of};
use sluice_certs::authority::Authority;
use sluice_webhook::server::clients::{Clients, Required};
use sluice_webhook::server::connection::Patience;
use std::sync::Arc;
use std::time::Duration;
use support::{review, session_cluster};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn one_http1_connection_carries_many_reviews() {
    let running = start(Patience::default()).await;
    let stream = running.connect(&["http/1.1"]).await.unwrap();
    let (mut client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    for number in 0..5 {
        let uid = format!("u-{number}");
        client.ready().await.unwrap();
        assert_eq!(
            uid_of(client.send_request(post(&uid)).await.unwrap()).await,
            uid
        );
    }
    assert!(running.metrics.encode().contains("sluice_connections 1\n"));
}

#[tokio::test]
async fn one_http2_connection_carries_many_reviews_at_once() {
    let running = start(Patience::default()).await;
    let stream = running.connect(&["h2", "http/1.1"]).await.unwrap();
    assert_eq!(
        stream.get_ref().1.alpn_protocol(),
        Some(&b"h2"[..]),
        "HTTP/2 is preferred"
    );
    let (client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let calls = (0..200).map(|number| {
        let mut client = client.clone();
        async move {
            let uid = format!("u-{number}");
            client.ready().await.unwrap();
            assert_eq!(
                uid_of(client.send_request(post(&uid)).await.unwrap()).await,
                uid
            );
        }
    });
    futures::future::join_all(calls).await;
}

#[tokio::test]
async fn who_does_not_speak_is_cut_off() {
    let running = start(Patience {
        handshake: Duration::from_millis(100),
        ..Patience::default()
    })
    .await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let mut rest = Vec::new();
    let read = tokio::time::timeout(SOON, stream.read_to_end(&mut rest))
        .await
        .unwrap();
    assert!(read.is_err() || rest.is_empty(), "closed without a word");
}

#[tokio::test]
async fn who_sends_a_head_byte_by_byte_is_cut_off() {
    let running = start(Patience {
        first_request: Duration::from_millis(150),
        ..Patience::default()
    })
    .await;
    let stream = running.connect(&["http/1.1"]).await.unwrap();
    let (mut read, mut write) = tokio::io::split(stream);
    let dribble = tokio::spawn(async move {
        for byte in std::iter::once(&b'P')
            .chain(b"OST /validate HTTP/1.1\r\nx: ")
            .chain(std::iter::repeat(&b'y'))
        {
            if write.write_all(&[*byte]).await.is_err() || write.flush().await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(SOON, read.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "still open");
    assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    dribble.abort();
}

#[tokio::test]
async fn who_sends_a_later_head_byte_by_byte_is_cut_off_and_who_is_only_idle_is_not() {
    let running = start(Patience {
        head: Duration::from_millis(200),
        ..Patience::default()
    })
    .await;
    let body = review("u", "DELETE", Value::Null, session_cluster("STOPPED")).to_string();
    let whole = format!(
        "POST /validate?timeout=3s HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = running.connect(&["http/1.1"]).await.unwrap();
    let mut buffer = [0; 4096];
    for _ in 0..2 {
        stream.write_all(whole.as_bytes()).await.unwrap();
        assert!(stream.read(&mut buffer).await.unwrap() > 0);
        // Longer than a head may take: between two requests there is no head.
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let began = tokio::time::Instant::now();
    let cut_off = tokio::time::timeout(SOON, async {
        for byte in whole.bytes().cycle() {
            if byte == b'\n' {
                continue; // a head that never ends
            }
            if stream.write_all(&[byte]).await.is_err() {
                return;
            }
            let read = tokio::time::timeout(Duration::from_millis(20), stream.read(&mut buffer));
            if matches!(read.await, Ok(Ok(0) | Err(_))) {
                return;
            }
        }
    });
    cut_off.await.expect("the slow head is cut off");
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn a_body_that_stalls_is_answered_when_the_time_is_up() {
    let running = start(Patience::default()).await;
    let mut stream = running.connect(&["http/1.1"]).await.unwrap();
    let head = "POST /validate?timeout=300ms HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{\"request\":{\"uid\":\"u-1\",";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let length = tokio::time::timeout(SOON, stream.read(&mut answer))
        .await
        .unwrap()
        .unwrap();
    let text = String::from_utf8_lossy(&answer[..length]).into_owned();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    assert!(text.contains(r#""uid":"u-1","allowed":false"#), "{text}");
    assert!(text.contains(r#""message":"the review did not arrive in time; send the request again [request/slow]","reason":"ServiceUnavailable","code":503"#), "{text}");
    assert!(text.contains(r#""retryAfterSeconds":1"#), "{text}");
}

#[tokio::test]
async fn a_new_leaf_is_served_from_the_next_handshake_on() {
    let running = start(Patience::default()).await;
    let stream = running.connect(&["http/1.1"]).await.unwrap();
    let (mut client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let now = Timestamp::now();
    let next = Authority::generate(now).unwrap();
    running
        .resolver
        .replace(next.sign(&["127.0.0.1".to_owned()], now).unwrap());
    let error = running.connect(&["http/1.1"]).await.unwrap_err();
    assert!(
        error.to_string().contains("UnknownIssuer")
            || error.to_string().contains("invalid peer certificate"),
        "{error}"
    );
    running
        .connect_trusting(&["http/1.1"], next.certificate_pem())
        .await
        .unwrap();
    assert_eq!(
        uid_of(client.send_request(post("u-1")).await.unwrap()).await,
        "u-1",
        "open connections live on"
    );
}

#[tokio::test]
async fn draining_ends_idle_connections_and_then_the_server() {
    let running = start(Patience::default()).await;
    for alpn in ["http/1.1", "h2"] {
        let stream = running.connect(&[alpn]).await.unwrap();
        if alpn == "h2" {
            let (mut client, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                    .await
                    .unwrap();
            tokio::spawn(connection);
            assert_eq!(
                uid_of(client.send_request(post("u-1")).await.unwrap()).await,
                "u-1"
            );
            std::mem::forget(client); // stays idle
        } else {
            let (mut client, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream))
                    .await
                    .unwrap();
            tokio::spawn(connection);
            assert_eq!(
                uid_of(client.send_request(post("u-1")).await.unwrap()).await,
                "u-1"
            );
            std::mem::forget(client);
        }
    }
    running.stop.drain.cancel();
    tokio::time::timeout(Duration::from_secs(4), running.task)
        .await
        .expect("ended before the cut-off")
        .unwrap();
    assert!(
        TcpStream::connect(running.address).await.is_err(),
        "the port is closed"
    );
}

#[tokio::test]
async fn while_leaving_each_answer_is_the_last_on_its_connection_and_new_ones_are_taken() {
    let running = start(Patience::default()).await;
    let connect = async || {
        let stream = running.connect(&["http/1.1"]).await.unwrap();
        let (client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        (client, tokio::spawn(connection))
    };
    let (mut client, connection) = connect().await;
    let answer = client.send_request(post("u-1")).await.unwrap();
    assert_eq!(answer.headers().get("connection"), None);
    assert_eq!(uid_of(answer).await, "u-1");
    running.stop.leaving.cancel();
    for (uid, mut client, connection) in [("u-2", client, connection), {
        let (client, connection) = connect().await;
        ("u-3", client, connection)
    }] {
        let answer = client.send_request(post(uid)).await.unwrap();
        assert_eq!(answer.headers().get("connection").unwrap(), "close");
        assert_eq!(uid_of(answer).await, uid);
        tokio::time::timeout(Duration::from_secs(4), connection)
            .await
            .expect("the connection ends")
            .unwrap()
            .unwrap();
    }
}

#[tokio::test]
async fn where_certificates_are_asked_for_only_the_right_one_gets_an_answer() {
    let (ours, theirs) = (ClientCa::new(), ClientCa::new());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clients.pem");
    std::fs::write(&file, &ours.pem).unwrap();
    let required = Required {
        file: file.clone(),
        names: vec!["api-server".to_owned()],
    };
    let clients = Clients::load(required).unwrap();
    let running = start_for(Patience::default(), Some(Arc::clone(&clients))).await;
    let known = ours.client("api-server");
    assert!(running.answers(Some(&known)).await);
    assert!(!running.answers(None).await, "nobody in particular");
    assert!(
        !running.answers(Some(&ours.client("ann"))).await,
        "not by this name"
    );
    let stranger = theirs.client("api-server");
    assert!(!running.answers(Some(&stranger)).await, "of another CA");

    std::fs::write(&file, "no certificate at all").unwrap();
    clients.look();
    assert!(
        running.answers(Some(&known)).await,
        "what was read before counts on"
    );
    std::fs::write(&file, &theirs.pem).unwrap();
    clients.look();
    assert!(running.answers(Some(&stranger)).await);
    assert!(
        !running.answers(Some(&known)).await,
        "its CA has been replaced"
    );
}

/// Found by tracing the code: a session that was resumed asked for no certificate, and a connection stayed as long as its client liked.
#[tokio::test]
async fn who_was_let_in_by_a_ca_that_is_withdrawn_has_to_go_and_comes_in_no_more() {
    let (ours, theirs) = (ClientCa::new(), ClientCa::new());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clients.pem");
    std::fs::write(&file, &ours.pem).unwrap();
    let required = Required {
        file: file.clone(),
        names: Vec::new(),
    };
    let clients = Clients::load(required).unwrap();
    let running = start_for(Patience::default(), Some(Arc::clone(&clients))).await;
    let known = running.connector(Some(&ours.client("api-server")));
    let (_asking, connection) = running.asks(&known).await.unwrap();
    assert!(running.answers_by(&known).await);
    assert!(!connection.is_finished());
    std::fs::write(&file, &theirs.pem).unwrap();
    clients.look();
    let ended = tokio::time::timeout(SOON, connection).await;
    assert!(ended.is_ok(), "still connected");
    assert!(!running.answers_by(&known).await, "the session goes on");
}

#[tokio::test]
async fn a_file_without_a_ca_of_clients_keeps_the_server_from_starting_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clients.pem");
    let load = || {
        let required = Required {
            file: file.clone(),
            names: Vec::new(),
        };
        Clients::load(required).unwrap_err().to_string()
    };
    let missing = load();
    assert!(
        missing.contains("clients.pem (--client-ca): No such file"),
        "{missing}"
    );
    std::fs::write(&file, "nothing").unwrap();
    let empty = load();
    assert!(empty.contains("clients.pem (--client-ca)"), "{empty}");
}
