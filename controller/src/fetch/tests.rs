//! Fetching from a server on loopback that answers as it is told.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

type Answers = Vec<&'static str>;

/// Answers the requests in turn, the last one for ever, then closes. Returns its address, and counts requests.
async fn server(
    answers: Answers,
) -> (String, Arc<AtomicUsize>, Arc<std::sync::Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (counted, heard) = (count.clone(), seen.clone());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let index = counted.fetch_add(1, Ordering::SeqCst);
            let answer = answers[index.min(answers.len() - 1)];
            let mut request = vec![0; 4096];
            let read = stream.read(&mut request).await.unwrap();
            heard
                .lock()
                .unwrap()
                .push(String::from_utf8_lossy(&request[..read]).into_owned());
            if answer == "silence" {
                tokio::spawn(async move {
                    let _ = stream.read(&mut request).await;
                });
                continue;
            }
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    (address, count, seen)
}

const JAR: &str = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\nPK1234";
const BUSY: &str =
    "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const NONE: &str = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const SHORT: &str = "HTTP/1.1 200 OK\r\ncontent-length: 60\r\nconnection: close\r\n\r\nPK1234";
const PAGE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\n<html>";

fn limits() -> Limits {
    Limits {
        bytes: 1000,
        connect: Duration::from_millis(500),
        silence: Duration::from_millis(200),
        total: Duration::from_secs(20),
        attempts: 3,
        backoff: Duration::from_millis(5),
        redirects: 2,
    }
}

async fn fetch_with(
    limits: Limits,
    s3: S3Settings,
    uri: &str,
    folder: &Path,
) -> Result<u64, FetchError> {
    fetch_from(Reach::Anywhere, limits, s3, uri, folder).await
}

async fn fetch_from(
    reach: Reach,
    limits: Limits,
    s3: S3Settings,
    uri: &str,
    folder: &Path,
) -> Result<u64, FetchError> {
    let source = Source::parse(uri, LocalFiles::Allowed)?;
    let name = source.file_name().unwrap();
    Fetcher::new(limits, s3, reach)?
        .fetch(uri, &source, folder, &name, &|_| ())
        .await
}

async fn fetch(uri: &str, folder: &Path) -> Result<u64, FetchError> {
    fetch_with(limits(), S3Settings::default(), uri, folder).await
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_jar_is_stored_under_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let (address, ..) = server(vec![JAR]).await;
    let bytes = fetch(&format!("{address}/a/my%20job.jar?token=x"), folder.path()).await;
    assert_eq!(bytes.unwrap(), 6);
    assert_eq!(files(folder.path()), ["my job.jar"]);
    assert_eq!(
        std::fs::read(folder.path().join("my job.jar")).unwrap(),
        b"PK1234"
    );
}

#[tokio::test]
async fn what_passes_is_tried_again_and_what_does_not_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (address, count, _) = server(vec![BUSY, SHORT, JAR]).await;
    assert_eq!(
        fetch(&format!("{address}/a.jar"), folder.path())
            .await
            .unwrap(),
        6
    );
    assert_eq!(count.load(Ordering::SeqCst), 3);

    let (address, count, _) = server(vec![NONE]).await;
    let error = fetch(&format!("{address}/b.jar?sig=secret"), folder.path())
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "{address}/b.jar?…: the server answered 404 Not Found: there is no such file; is the URI right?"
        )
    );
    assert!(!error.is_transient());
    assert_eq!(count.load(Ordering::SeqCst), 1);

    let (address, count, _) = server(vec![BUSY]).await;
    let error = fetch(&format!("{address}/c.jar"), folder.path())
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "{address}/c.jar: the server answered 503 Service Unavailable; given up after 3 attempts"
        )
    );
    assert!(error.is_transient());
    assert_eq!(count.load(Ordering::SeqCst), 3);
    assert_eq!(files(folder.path()), ["a.jar"], "nothing half is left");
}

#[tokio::test]
async fn a_silent_server_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let (address, ..) = server(vec!["silence"]).await;
    let error = fetch(&format!("{address}/a.jar"), folder.path())
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{address}/a.jar: the server was silent for 0.2 s; given up after 3 attempts")
    );
}

#[tokio::test]
async fn what_is_too_large_or_no_jar_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (address, ..) = server(vec![JAR]).await;
    let uri = format!("{address}/a.jar");
    let small = Limits {
        bytes: 5,
        ..limits()
    };
    let error = fetch_with(small, S3Settings::default(), &uri, folder.path())
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{uri}: is larger than 5 bytes; raise the limit (--max-bytes) if that is meant")
    );
    let (address, ..) = server(vec![PAGE]).await;
    let error = fetch(&format!("{address}/a.jar"), folder.path())
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("what came (6 bytes) is no jar"),
        "{error}"
    );
    assert_eq!(files(folder.path()), [""; 0]);
}

#[tokio::test]
async fn redirects_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (address, ..) = server(vec![
        "HTTP/1.1 302 Found\r\nlocation: /b.jar\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        JAR,
    ])
    .await;
    assert_eq!(
        fetch(&format!("{address}/a.jar"), folder.path())
            .await
            .unwrap(),
        6
    );
    assert_eq!(files(folder.path()), ["a.jar"], "the name is the user's");
    let (address, ..) = server(vec![
        "HTTP/1.1 302 Found\r\nlocation: /b.jar\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
    ])
    .await;
    let error = fetch(&format!("{address}/a.jar"), folder.path())
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("more than 2 redirects"),
        "{error}"
    );
    assert!(!error.is_transient());
}

#[tokio::test]
async fn what_only_the_controller_reaches_is_refused_after_look_up_and_redirect() {
    let folder = tempfile::tempdir().unwrap();
    let (address, count, _) = server(vec![JAR]).await;
    let outside = || Reach::outside(None);
    let refused = async |reach: Reach, s3: S3Settings, uri: &str| {
        let error = fetch_from(reach, limits(), s3, uri, folder.path()).await;
        let error = error.unwrap_err();
        assert!(!error.is_transient(), "{error}");
        error.to_string()
    };
    let port = address.rsplit(':').next().unwrap();
    let none = S3Settings::default;
    let said = refused(outside(), none(), &format!("{address}/a.jar")).await;
    assert_eq!(
        said,
        format!(
            "{address}/a.jar: 127.0.0.1, the controller itself (loopback); the controller fetches nothing from there for users. Put the \
             jar elsewhere or into the session cluster's spec.jars, or have the controller started with --allow-local-fetch"
        )
    );
    // A name is followed to its addresses.
    let said = refused(outside(), none(), &format!("http://localhost:{port}/a.jar")).await;
    assert!(
        said.contains("localhost is at ") && said.contains("(loopback)"),
        "{said}"
    );
    assert_eq!(count.load(Ordering::SeqCst), 0, "nobody was asked");
    // The server of a redirect may be reached; what it leads to may not.
    let (address, count, _) = server(vec![
        "HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/b.jar\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
    ])
    .await;
    let but_loopback = Reach::Outside {
        api_server: Vec::new(),
        but: vec!["127.0.0.1".parse().unwrap()],
    };
    let said = refused(but_loopback, none(), &format!("{address}/a.jar")).await;
    assert!(
        said.contains("169.254.169.254, a link-local address"),
        "{said}"
    );
    assert_eq!(count.load(Ordering::SeqCst), 1);
    // The store that whoever runs the controller has named is reached wherever it is.
    let (address, ..) = server(vec![JAR]).await;
    let named = S3Settings {
        endpoint: Some(address),
        ..S3Settings::default()
    };
    let bytes = fetch_from(
        outside(),
        limits(),
        named,
        "s3://bucket/c.jar",
        folder.path(),
    )
    .await;
    assert_eq!(bytes.unwrap(), 6);
    assert_eq!(files(folder.path()), ["c.jar"]);
}

#[tokio::test]
async fn s3_is_signed_where_there_are_credentials() {
    let folder = tempfile::tempdir().unwrap();
    let (address, _, seen) = server(vec![JAR]).await;
    let settings = S3Settings {
        endpoint: Some(address.clone()),
        region: Some("eu-west-1".into()),
        access_key: Some("AKIDEXAMPLE".into()),
        secret_key: Some("wJalr".into()),
        session_token: Some("tok".into()),
    };
    assert!(!format!("{settings:?}").contains("wJalr"));
    fetch_with(
        limits(),
        settings,
        "s3://bucket/folder/a%20b.jar",
        folder.path(),
    )
    .await
    .unwrap();
    let request = seen.lock().unwrap()[0].clone();
    assert!(
        request.starts_with("GET /bucket/folder/a%20b.jar?"),
        "{request}"
    );
    for part in [
        "X-Amz-Algorithm=AWS4-HMAC-SHA256",
        "X-Amz-Credential=AKIDEXAMPLE%2F",
        "%2Feu-west-1%2Fs3%2Faws4_request",
        "X-Amz-Security-Token=tok",
        "X-Amz-Signature=",
    ] {
        assert!(request.contains(part), "{part} is not in {request}");
    }
    assert_eq!(files(folder.path()), ["a b.jar"]);

    let (address, _, seen) = server(vec![
        "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
    ])
    .await;
    let anonymous = S3Settings {
        endpoint: Some(address),
        ..S3Settings::default()
    };
    let error = fetch_with(limits(), anonymous, "s3a://bucket/c.jar", folder.path())
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("s3a://bucket/c.jar: the server answered 403 Forbidden")
            && text.contains("AWS_ACCESS_KEY_ID"),
        "{text}"
    );
    assert!(seen.lock().unwrap()[0].starts_with("GET /bucket/c.jar HTTP/1.1"));
}

#[tokio::test]
async fn local_files_are_copied_for_init_containers_only() {
    let folder = tempfile::tempdir().unwrap();
    let jar = folder.path().join("x.jar");
    std::fs::write(&jar, b"PK").unwrap();
    let to = tempfile::tempdir().unwrap();
    let uri = format!("file://{}", jar.display());
    assert_eq!(fetch(&uri, to.path()).await.unwrap(), 2);
    assert_eq!(files(to.path()), ["x.jar"]);
    for uri in [
        uri.as_str(),
        "/etc/passwd",
        "local:///etc/passwd",
        "file:/etc/passwd",
    ] {
        let error = Source::parse(uri, LocalFiles::Refused)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("is a file of the controller's own machine"),
            "{error}"
        );
    }
    let error = fetch("file:///nowhere/y.jar", to.path())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("file:///nowhere/y.jar: No such file"),
        "{error}"
    );
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_told() {
    let (address, ..) = server(vec![JAR]).await;
    let error = fetch(&format!("{address}/a.jar"), Path::new("/nowhere"))
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("is the folder there, writable and large enough?"),
        "{error}"
    );
}

#[test]
fn two_uris_of_one_name_are_both_named() {
    let all = |uris: &[&str]| {
        let uris: Vec<String> = uris.iter().map(|uri| (*uri).to_owned()).collect();
        plan(&uris, LocalFiles::Allowed)
    };
    let error = all(&["https://u:p@h/1/a.jar", "s3://b/2/a.jar"]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "https://h/1/a.jar and s3://b/2/a.jar would both be stored as a.jar; rename one of the files at its source"
    );
    let planned = all(&["https://h/a.jar", "https://h/a.jar", "/opt/b.jar"]).unwrap();
    let names: Vec<_> = planned.iter().map(|(_, _, name)| name.as_str()).collect();
    assert_eq!(names, ["a.jar", "b.jar"]);
}

#[test]
fn what_cannot_be_fetched_is_told_with_an_example() {
    for (uri, expected) in [
        ("a.jar", "relative URL without a base"),
        ("hdfs://h/a.jar", "the scheme hdfs cannot be fetched"),
        ("https://h/", "ends in no usable file name"),
        ("https://h/%2e%2e", "ends in no usable file name"),
        ("https://h/a%2Fb", "ends in no usable file name"),
        ("s3://bucket", "names no bucket or no file in it"),
        ("s3://bucket/a/%2e%2e/b.jar", "file"),
        ("file://host/a.jar", "names a host"),
        (
            "https://h/%zz",
            "a % is not followed by two hexadecimal digits",
        ),
    ] {
        let found = Source::parse(uri, LocalFiles::Allowed);
        let text = found.map_or_else(
            |error| error.to_string(),
            |source| format!("{source:?} file"),
        );
        assert!(text.contains(expected), "{uri}: {text}");
    }
}
