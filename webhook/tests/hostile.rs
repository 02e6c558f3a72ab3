//! Clients that mean harm, on a server that really listens: half-closed connections, heads and bodies without end, answers that
//! nobody reads, streams that are reset at once, TLS that is negotiated again, and crowds that say nothing. Each time: it ends
//! by itself, what it held is free again, and everybody else is answered.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic
)] // a test's own failures

#[path = "support/server.rs"]
mod server;
mod support;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use server::{ClientCa, Running, SOON, post, start, start_for};
use sluice_webhook::server::clients::{Clients, Required};
use sluice_webhook::server::connection::Patience;
use std::process::Stdio;
use std::time::Duration;
use support::{review, session_cluster};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn whole() -> String {
    request("u")
}

fn request(uid: &str) -> String {
    let body = review(uid, "DELETE", Value::Null, session_cluster("STOPPED")).to_string();
    format!(
        "POST /validate?timeout=3s HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Everything until the other side ends the connection, in whatever way.
async fn rest(mut stream: impl AsyncRead + Unpin) -> String {
    let mut read = Vec::new();
    let ended = tokio::time::timeout(SOON, stream.read_to_end(&mut read)).await;
    assert!(
        ended.is_ok(),
        "still open after {}",
        String::from_utf8_lossy(&read)
    );
    String::from_utf8_lossy(&read).into_owned()
}

/// No connection holds a place any more, and who comes now is answered.
async fn is_as_before(running: &Running) {
    let free = async {
        while !running.metrics.encode().contains("sluice_connections 0\n") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let freed = tokio::time::timeout(SOON, free).await;
    assert!(
        freed.is_ok(),
        "connections are held: {}",
        running.metrics.encode()
    );
    assert!(running.answers(None).await, "the next one is not answered");
}

#[tokio::test]
async fn who_closes_one_half_in_the_middle_of_anything_holds_nothing() {
    let running = start(Patience::default()).await;
    // Before the handshake, and in it: the first bytes of a ClientHello.
    for hello in [&b""[..], &[22, 3, 1, 1, 0, 1, 0, 0]] {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(hello).await.unwrap();
        stream.shutdown().await.unwrap();
        rest(stream).await;
    }
    let whole = whole();
    let in_body = whole.len() - 10;
    for (upto, protocol) in [(20, "http/1.1"), (in_body, "http/1.1"), (24, "h2")] {
        let sent = if protocol == "h2" {
            &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..]
        } else {
            whole.as_bytes()
        };
        let mut stream = running.connect(&[protocol]).await.unwrap();
        stream.write_all(&sent[..upto]).await.unwrap();
        stream.shutdown().await.unwrap();
        let answer = rest(stream).await;
        assert!(!answer.contains("\"allowed\":true"), "{protocol}: {answer}");
    }
    is_as_before(&running).await;
}

#[tokio::test]
async fn who_closes_his_half_after_a_whole_request_keeps_no_connection_open() {
    let running = start(Patience::default()).await;
    let mut stream = running.connect(&["http/1.1"]).await.unwrap();
    stream.write_all(whole().as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let answer = rest(stream).await;
    // Whoever is gone need not be answered; whoever is, is answered whole.
    assert!(
        answer.is_empty() || answer.ends_with('}'),
        "half an answer: {answer}"
    );
    is_as_before(&running).await;
}

#[tokio::test]
async fn a_head_without_end_is_refused_before_it_is_large() {
    let running = start(Patience::default()).await;
    let stream = running.connect(&["http/1.1"]).await.unwrap();
    let (read, mut write) = tokio::io::split(stream);
    let flood = tokio::spawn(async move {
        let line = format!("x-{}: {}\r\n", "y".repeat(20), "z".repeat(1000));
        if write
            .write_all(b"POST /validate HTTP/1.1\r\n")
            .await
            .is_err()
        {
            return 0;
        }
        let mut sent = 0;
        while sent < 64 << 20 && write.write_all(line.as_bytes()).await.is_ok() {
            sent += line.len();
        }
        sent
    });
    let answer = rest(read).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
        "{answer}"
    );
    let sent = tokio::time::timeout(SOON, flood).await.unwrap().unwrap();
    assert!(sent < 64 << 20, "all of it was read");
    is_as_before(&running).await;
}

#[tokio::test]
async fn a_body_without_end_is_answered_413_and_cut_off() {
    let running = start(Patience::default()).await;
    let stream = running.connect(&["http/1.1"]).await.unwrap();
    let (read, mut write) = tokio::io::split(stream);
    let flood = tokio::spawn(async move {
        let head = "POST /validate?timeout=30s HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
        let first = r#"{"request":{"uid":"u-1","object":""#;
        let first = format!("{head}{:x}\r\n{first}\r\n", first.len());
        if write.write_all(first.as_bytes()).await.is_err() {
            return 0;
        }
        let chunk = format!("{:x}\r\n{}\r\n", 1 << 16, "x".repeat(1 << 16));
        let mut sent = 0;
        while sent < 256 << 20 && write.write_all(chunk.as_bytes()).await.is_ok() {
            sent += chunk.len();
        }
        sent
    });
    let answer = rest(read).await;
    assert!(
        answer.contains(r#""uid":"u-1","allowed":false"#) && answer.contains(r#""code":413"#),
        "{answer}"
    );
    let sent = tokio::time::timeout(SOON, flood).await.unwrap().unwrap();
    assert!(sent < 64 << 20, "{sent} bytes were read");
    is_as_before(&running).await;
}

#[tokio::test]
async fn who_announces_more_than_there_is_memory_gets_none_of_it() {
    let running = start(Patience::default()).await;
    let mut stream = running.connect(&["http/1.1"]).await.unwrap();
    let head = format!(
        "POST /validate?timeout=300ms HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{{\"request\":{{\"uid\":\"u-1\",",
        u64::MAX - 1
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let read = tokio::time::timeout(SOON, stream.read(&mut answer)).await;
    let length = read.expect("an answer").unwrap_or_default();
    let text = String::from_utf8_lossy(&answer[..length]).into_owned();
    assert!(
        text.starts_with("HTTP/1.1 4") || text.contains("[request/slow]"),
        "{text}"
    );
    drop(stream);
    is_as_before(&running).await;
}

#[tokio::test]
async fn who_never_reads_the_answers_is_cut_off() {
    let running = start(Patience {
        write: Duration::from_millis(500),
        ..Patience::default()
    })
    .await;
    let stream = running.connect(&["http/1.1"]).await.unwrap();
    let (_read, mut write) = tokio::io::split(stream);
    // Long answers, as the uid is in each: as many as the buffers of both sides take, then nothing moves any more.
    let long = request("u".repeat(50_000).as_str());
    let flood = async { while write.write_all(long.as_bytes()).await.is_ok() {} };
    let cut_off = tokio::time::timeout(SOON, flood).await;
    assert!(cut_off.is_ok(), "still taken");
    is_as_before(&running).await;
}

#[tokio::test]
async fn who_opens_no_window_for_the_answers_is_cut_off() {
    let running = start(Patience {
        write: Duration::from_millis(500),
        ..Patience::default()
    })
    .await;
    // A long answer, as the uid is in each. With a window of one byte hyper lets a whole piece of it go to be sent.
    for (window, length) in [(0, 50_000), (1, 50_000), (49_000, 50_000), (1, 6_000)] {
        let long = "u".repeat(length);
        let stream = running.connect(&["h2"]).await.unwrap();
        let (mut client, connection) =
            hyper::client::conn::http2::Builder::new(TokioExecutor::new())
                .initial_stream_window_size(window)
                .handshake(TokioIo::new(stream))
                .await
                .unwrap();
        let connection = tokio::spawn(connection);
        let mut answers = Vec::new();
        for _ in 0..20 {
            // The heads come: they need no window.
            match client.send_request(post(&long)).await {
                Ok(answer) => answers.push(answer),
                Err(_) => break,
            }
        }
        assert!(!answers.is_empty(), "cut off before any answer");
        let ended = tokio::time::timeout(SOON, connection).await;
        assert!(
            ended.is_ok(),
            "the connection is kept with a window of {window}"
        );
    }
    is_as_before(&running).await;
}

#[tokio::test]
async fn streams_that_are_reset_at_once_end_the_connection_and_no_other() {
    let running = start(Patience::default()).await;
    let stream = running.connect(&["h2"]).await.unwrap();
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let connection = tokio::spawn(connection);
    let flood = async {
        for _ in 0..100_000 {
            if client.ready().await.is_err() {
                return true;
            }
            // Dropped before there is an answer: a reset.
            let asked = client.send_request(post("u"));
            let _ = tokio::time::timeout(Duration::ZERO, asked).await;
        }
        false
    };
    let ended = tokio::time::timeout(SOON, flood).await;
    assert_eq!(ended, Ok(true), "worked off, or neither that nor ended");
    assert!(running.answers(None).await, "others wait for it");
    drop(client);
    let _ = tokio::time::timeout(SOON, connection).await.unwrap();
    is_as_before(&running).await;
}

/// Whether a crowd's connections can be opened, both of their ends here.
fn many_files_may_be_open() -> bool {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let files = limits.lines().find_map(|line| {
        line.strip_prefix("Max open files")?
            .split_whitespace()
            .next()
    });
    let files: usize = files
        .and_then(|files| files.parse().ok())
        .unwrap_or_default();
    if files < 4096 {
        skip(&format!(
            "{files} open files are allowed, and 4096 are needed (ulimit -n 4096)"
        ));
    }
    files >= 4096
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_that_says_nothing_holds_others_up_no_longer_than_a_handshake_may_take() {
    if !many_files_may_be_open() {
        return;
    }
    let running = start(Patience {
        handshake: Duration::from_millis(500),
        ..Patience::default()
    })
    .await;
    let mut crowd = Vec::new();
    for _ in 0..1_100 {
        crowd.push(TcpStream::connect(running.address).await.unwrap());
    }
    let answered = tokio::time::timeout(SOON, running.answers(None)).await;
    assert!(answered.expect("in time"), "nobody else is served");
    is_as_before(&running).await;
    drop(crowd);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_that_spoke_once_makes_room_for_others() {
    if !many_files_may_be_open() {
        return;
    }
    for answers_pings in [true, false] {
        let running = start(Patience::default()).await;
        let mut crowd = Vec::new();
        for _ in 0..1_024 {
            crowd.push(spoke_once(&running, answers_pings).await);
        }
        let (first, _) = &crowd[0];
        assert!(!first.is_closed(), "room was made for nobody");
        for _ in 0..5 {
            let answered = tokio::time::timeout(SOON, running.answers(None)).await;
            assert!(answered.expect("in time"), "nobody else is served");
        }
        drop(crowd);
        is_as_before(&running).await;
    }
}

/// Found by tracing the code: none of the addresses had more than half of the places, and who was asked to go had half a minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crowds_whose_requests_never_end_make_room_at_once() {
    if !many_files_may_be_open() {
        return;
    }
    let running = start(Patience::default()).await;
    let mut crowd = Vec::new();
    for last in [2, 3].into_iter().cycle().take(1_024) {
        let from = [127, 0, 0, last];
        let mut stream = running.connect_from(from).await.unwrap();
        let endless = "POST /validate?timeout=30s HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 100\r\n\r\n";
        stream.write_all(endless.as_bytes()).await.unwrap();
        // It says so when it begins to wait for the body.
        stream.read_exact(&mut [0; 25]).await.unwrap();
        crowd.push(stream);
    }
    for _ in 0..5 {
        let answered = tokio::time::timeout(Duration::from_secs(5), running.answers(None)).await;
        assert!(answered.expect("in time"), "nobody else is served");
    }
    drop(crowd);
    is_as_before(&running).await;
}

type Http2 = hyper::client::conn::http2::SendRequest<Full<Bytes>>;

/// A connection that is kept after its first answer, and hears what the server says from then on, or nothing at all.
async fn spoke_once(running: &Running, hears: bool) -> (Http2, Option<impl Future>) {
    let stream = running.connect(&["h2"]).await.unwrap();
    let (mut client, mut connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let asked = client.send_request(post("u"));
    let answer = tokio::select! {
        answer = asked => answer,
        ended = &mut connection => panic!("{ended:?}"),
    };
    assert_eq!(answer.unwrap().status(), 200);
    if hears {
        tokio::spawn(connection);
        return (client, None);
    }
    (client, Some(connection))
}

#[tokio::test]
async fn who_only_answers_pings_is_asked_to_go_and_who_asks_now_and_then_is_not() {
    let running = start(Patience {
        idle: Duration::from_secs(1),
        head: Duration::from_millis(400), // it is looked at four times as often
        ..Patience::default()
    })
    .await;
    let stream = running.connect(&["h2"]).await.unwrap();
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let connection = tokio::spawn(connection);
    for _ in 0..20 {
        assert_eq!(client.send_request(post("u")).await.unwrap().status(), 200);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let ended = tokio::time::timeout(SOON, connection).await;
    assert!(
        matches!(ended, Ok(Ok(Ok(())))),
        "not ended, or not in good order: {ended:?}"
    );
    is_as_before(&running).await;
    drop(client);
}

/// Told, and failed where everything is asked for.
fn skip(why: &str) {
    assert!(
        std::env::var("SLUICE_REQUIRE").as_deref() != Ok("all"),
        "SLUICE_REQUIRE=all, but {why}"
    );
    eprintln!("skipped: {why}");
}

/// OpenSSL's client over TLS 1.2, with this on its standard input after the handshake. `None`: there is no openssl.
async fn openssl(running: &Running, input: &str) -> Option<String> {
    let child = tokio::process::Command::new("openssl")
        .args(["s_client", "-tls1_2", "-state", "-connect"])
        .arg(running.address.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let Ok(mut child) = child else {
        skip("there is no openssl");
        return None;
    };
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut told = Vec::new();
    // It takes commands once it says that the connection stands, or ends by itself.
    let stands = async {
        let mut buffer = [0; 4096];
        loop {
            let read = stdout.read(&mut buffer).await.unwrap_or_default();
            told.extend_from_slice(&buffer[..read]);
            if read == 0 || String::from_utf8_lossy(&told).contains("Verify return code") {
                return;
            }
        }
    };
    tokio::time::timeout(SOON, stands).await.expect("shaken");
    // It may have ended by itself already.
    let _ = stdin.write_all(input.as_bytes()).await;
    let _ = stdin.flush().await;
    let mut stderr = child.stderr.take().unwrap();
    let mut errors = Vec::new();
    let both = async {
        tokio::join!(
            stdout.read_to_end(&mut told),
            stderr.read_to_end(&mut errors)
        )
    };
    let ended = tokio::time::timeout(SOON, both).await;
    assert!(ended.is_ok(), "openssl goes on");
    drop(stdin);
    let _ = child.wait().await;
    // What was said last stands in the errors: each state of its handshakes, and the end.
    Some(format!(
        "{}{}",
        String::from_utf8_lossy(&told),
        String::from_utf8_lossy(&errors)
    ))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_not_negotiated_again() {
    let running = start(Patience {
        first_request: Duration::from_secs(1),
        ..Patience::default()
    })
    .await;
    let Some(told) = openssl(&running, "R\n").await else {
        return;
    };
    let (before, after) = told
        .split_once("RENEGOTIATING")
        .expect("it was not asked for");
    assert!(before.contains("read finished"), "{told}");
    assert!(after.contains("write client hello"), "{told}");
    // No word in answer, and the end when the time for a request is up.
    assert!(!after.contains("read server hello"), "{told}");
    is_as_before(&running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_certificate_that_is_asked_for_not_even_the_handshake_ends() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clients.pem");
    std::fs::write(&file, ClientCa::new().pem).unwrap();
    let required = Required {
        file,
        names: vec!["api-server".to_owned()],
    };
    let running = start_for(Patience::default(), Some(Clients::load(required).unwrap())).await;
    let Some(told) = openssl(&running, &whole()).await else {
        return;
    };
    assert!(
        told.contains("certificate required") || told.contains("handshake failure"),
        "{told}"
    );
    assert!(!told.contains("HTTP/1.1"), "it was answered: {told}");
    let freed = async {
        while !running.metrics.encode().contains("sluice_connections 0\n") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(SOON, freed).await.is_ok());
}
