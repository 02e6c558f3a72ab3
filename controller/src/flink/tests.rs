//! The client against a server that answers as it is told: failures, delays and nonsense. What a real Flink answers is
//! tested in `tests/tests/real_flink.rs`.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// Answers every request with these bytes and keeps the connection open.
async fn server(answer: impl Into<Vec<u8>>) -> String {
    let answer = answer.into();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut request = [0; 4096];
                while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                    let _ = stream.write_all(&answer).await;
                }
            });
        }
    });
    address
}

fn answer(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn client(address: &str) -> FlinkClient {
    let timeouts = Timeouts {
        connect: Duration::from_millis(500),
        call: Duration::from_millis(300),
        run: Duration::from_millis(300),
        upload: Duration::from_millis(300),
    };
    FlinkHttp::new(timeouts).unwrap().at(address).unwrap()
}

fn job() -> JobId {
    JobId::from_bytes([7; 16])
}

#[tokio::test]
async fn a_server_that_says_nothing_is_left_after_the_time_out() {
    let address = server(Vec::new()).await;
    let begun = Instant::now();
    let error = client(&address).overview().await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(5), "{begun:?}");
    assert!(error.is_transient(), "{error}");
    assert_eq!(
        error.to_string(),
        format!("GET /overview at {address}: no answer within 0.3 s")
    );
}

#[tokio::test]
async fn a_body_that_stops_half_way_is_left_after_the_time_out() {
    let address = server("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"task").await;
    let error = client(&address).overview().await.unwrap_err();
    assert!(matches!(error, FlinkError::TimedOut { .. }), "{error}");
}

#[tokio::test]
async fn nobody_there_is_transient_and_says_where() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = client(&address).overview().await.unwrap_err();
    assert!(error.is_transient());
    let text = error.to_string();
    assert!(
        text.starts_with(&format!("GET /overview at {address}: "))
            && text.contains("Connection refused"),
        "{text}"
    );
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let mut endless = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    endless.resize(18 * 1024 * 1024, b'[');
    let address = server(endless).await;
    let timeouts = Timeouts::default();
    let client = FlinkHttp::new(timeouts).unwrap().at(&address).unwrap();
    let error = client.overview().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("GET /overview at {address}: the answer is larger than 4194304 bytes")
    );
}

/// Each would be 64 bytes in memory, and many JobManagers are asked at once.
#[tokio::test]
async fn an_answer_that_would_be_large_in_memory_is_not_flinks() {
    let list = |one: &str| vec![one; 4_000_000 / (one.len() + 1)].join(",");
    for (name, body) in [
        ("nothing", list("{}")),
        ("next to nothing", list(r#"{"id":""}"#)),
        ("a name", format!(r#"{{"id":"{}"}}"#, "x".repeat(4_000_000))),
    ] {
        let body = format!(r#"{{"taskmanagers":[{body}]}}"#);
        let address = server(answer("200 OK", &body)).await;
        let client = FlinkHttp::new(Timeouts::default()).unwrap();
        let client = client.at(&address).unwrap();
        let error = client.taskmanagers().await.unwrap_err();
        assert!(
            matches!(error, FlinkError::Unreadable { .. }),
            "{name}: {error}"
        );
        assert!(error.to_string().len() < 1000, "{name}: {error}");
    }
    let body = format!(r#"{{"errors":[{}]}}"#, list(r#""""#));
    let address = server(answer("500 Internal Server Error", &body)).await;
    let error = client(&address).overview().await.unwrap_err();
    assert!(
        matches!(error, FlinkError::Refused { code: 500, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn long_answers_share_their_room_and_short_ones_need_none() {
    const LENGTH: usize = 4_000_000;
    // Half of it comes, and nothing more.
    let mut half = format!(
        "HTTP/1.1 200 OK
content-length: {LENGTH}

"
    )
    .into_bytes();
    half.resize(LENGTH / 2, b' ');
    let slow = server(half).await;
    let brief = server(answer("200 OK", r#"{"taskmanagers":2}"#)).await;
    let timeouts = Timeouts {
        call: Duration::from_secs(3),
        ..Timeouts::default()
    };
    let http = FlinkHttp::new(timeouts).unwrap();
    let all = http.room.free();
    let asking: Vec<_> = (0..40)
        .map(|_| {
            let client = http.at(&slow).unwrap();
            tokio::spawn(async move { client.taskmanagers().await })
        })
        .collect();
    while http.room.free() > 0 {
        assert!(!asking.iter().any(tokio::task::JoinHandle::is_finished));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let overview = http.at(&brief).unwrap().overview().await.unwrap();
    assert_eq!(overview.taskmanagers, 2);
    for one in asking {
        let error = one.await.unwrap().unwrap_err();
        assert!(matches!(error, FlinkError::TimedOut { .. }), "{error}");
    }
    assert_eq!(http.room.free(), all, "what is over gives its room back");
}

#[tokio::test]
async fn what_is_not_flink_is_told() {
    let address = server(answer("200 OK", "<html>")).await;
    let error = client(&address).overview().await.unwrap_err();
    assert!(matches!(error, FlinkError::Unreadable { .. }), "{error}");
    assert!(!error.is_transient());
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_told() {
    let address =
        server("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n")
            .await;
    let error = client(&address).overview().await.unwrap_err();
    assert!(
        matches!(error, FlinkError::Refused { code: 302, .. }),
        "{error}"
    );
    assert_eq!(
        error.to_string(),
        "GET /overview: it redirects to http://127.0.0.1:1/"
    );
}

#[tokio::test]
async fn an_unavailable_leader_is_transient_and_a_bad_request_is_not() {
    let starting = r#"{"errors":["Service temporarily unavailable due to an ongoing leader election. Please refresh."]}"#;
    let address = server(answer("503 Service Unavailable", starting)).await;
    let error = client(&address).overview().await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    let bad = r#"{"errors":["Internal server error.","<Exception on server side:\na.b.RestHandlerException: Jar file x does not exist\n\tat a.B.c(D.java:1)\nEnd of exception on server side>"]}"#;
    let address = server(answer("500 Internal Server Error", bad)).await;
    let error = client(&address)
        .run_jar("x.jar", &JarRun::default())
        .await
        .unwrap_err();
    assert!(!error.is_transient());
    assert_eq!(
        error.to_string(),
        "POST /jars/x.jar/run: RestHandlerException: Jar file x does not exist"
    );
}

#[tokio::test]
async fn a_second_submission_is_known_as_such() {
    let body = r#"{"errors":["a.RestHandlerException: Could not execute application.\nCaused by: org.apache.flink.runtime.client.DuplicateJobSubmissionException: Job has already been submitted.\n"]}"#;
    let address = server(answer("400 Bad Request", body)).await;
    let error = client(&address)
        .run_jar("x.jar", &JarRun::default())
        .await
        .unwrap_err();
    assert!(error.is_duplicate_job(), "{error}");
}

/// What a planner says of a large statement is repeated in each cause.
#[tokio::test]
async fn a_refusal_of_many_words_is_a_refusal_and_an_answer_of_as_many_is_not_flinks() {
    let plan = "x".repeat(100_000);
    let body = format!(
        r#"{{"errors":["a.B: {plan}\nCaused by: a.C: {plan}\nCaused by: a.D: no sink\n"]}}"#
    );
    for (status, refused) in [("400 Bad Request", true), ("200 OK", false)] {
        let address = server(answer(status, &body)).await;
        let error = client(&address)
            .run_jar("x.jar", &JarRun::default())
            .await
            .unwrap_err();
        assert_eq!(
            matches!(error, FlinkError::Refused { .. }),
            refused,
            "{status}: {error}"
        );
    }
}

#[tokio::test]
async fn a_job_that_is_gone_is_none_and_cancelling_it_no_error() {
    let body = r#"{"errors":["org.apache.flink.runtime.rest.NotFoundException: Job x not found"]}"#;
    let address = server(answer("404 Not Found", body)).await;
    let client = client(&address);
    assert_eq!(client.job(&job()).await.unwrap(), None);
    client.cancel(&job()).await.unwrap();
    assert_eq!(
        client
            .snapshot(&job(), &TriggerId("a".into()))
            .await
            .unwrap(),
        Snapshot::Unknown
    );
    assert_eq!(
        client
            .stop_with_savepoint(&job(), None, None)
            .await
            .unwrap(),
        StopAnswer::NoSuchJob
    );
    let error = client.checkpoints(&job()).await.unwrap_err();
    assert!(error.is_not_found(), "{error}");
}

#[tokio::test]
async fn savepoints_come_out_in_four_ways() {
    let cases = [
        (r#"{"status":{"id":"IN_PROGRESS"}}"#, Snapshot::InProgress),
        (
            r#"{"status":{"id":"COMPLETED"},"operation":{"location":"s3://b/sp"}}"#,
            Snapshot::Completed("s3://b/sp".into()),
        ),
        (
            r#"{"status":{"id":"COMPLETED"},"operation":{"failure-cause":{"class":"x","stack-trace":"a.CompletionException: b.C: no room"}}}"#,
            Snapshot::Failed("C: no room".into()),
        ),
        (
            r#"{"status":{"id":"COMPLETED"},"operation":{}}"#,
            Snapshot::Failed("Flink names no location".into()),
        ),
    ];
    for (body, expected) in cases {
        let address = server(answer("200 OK", body)).await;
        let found = client(&address)
            .snapshot(&job(), &TriggerId("a".into()))
            .await;
        assert_eq!(found.unwrap(), expected, "{body}");
    }
}

#[test]
fn what_is_no_address_is_refused() {
    let http = FlinkHttp::new(Timeouts::default()).unwrap();
    for address in ["", "10.0.0.1:8081", "ftp://h/", "http://"] {
        let error = http.at(address).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("{address} is no address of Flink's REST API: ")),
            "{error}"
        );
    }
    let client = http.at("http://10.0.0.1:8081").unwrap();
    assert_eq!(client.address(), "http://10.0.0.1:8081");
}
