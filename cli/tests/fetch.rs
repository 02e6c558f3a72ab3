//! `sluice fetch`, by the real binary: what it stores, what it says, and its exit codes.

#![allow(clippy::expect_used, clippy::unwrap_used)] // tests

mod support;

use support::sluice;

#[test]
fn files_are_copied_and_told() {
    let from = tempfile::tempdir().unwrap();
    let to = tempfile::tempdir().unwrap();
    let jar = from.path().join("job.jar");
    std::fs::write(&jar, b"PK\x05\x06").unwrap();
    let uri = format!("file://{}", jar.display());
    // In a pod only the volume is there.
    let folder = to.path().join("sluice-artifacts/program");
    let run = sluice(&["fetch", "--to", folder.to_str().unwrap(), &uri]).expect_code(0);
    assert_eq!(run.stdout, "");
    assert!(
        run.stderr.contains("sluice: note: fetching job.jar")
            && run.stderr.contains("job.jar: 4 bytes in "),
        "{}",
        run.stderr
    );
    assert_eq!(
        std::fs::read(folder.join("job.jar")).unwrap(),
        b"PK\x05\x06"
    );
}

#[test]
fn bad_usage_is_2_and_what_does_not_come_is_3() {
    let to = tempfile::tempdir().unwrap();
    let folder = to.path().to_str().unwrap();
    let run = sluice(&[
        "fetch",
        "--to",
        folder,
        "https://h/1/a.jar",
        "s3://b/2/a.jar",
    ])
    .expect_code(2);
    assert_eq!(
        run.stderr,
        "sluice: https://h/1/a.jar and s3://b/2/a.jar would both be stored as a.jar; rename one of the files at its source\n"
    );
    let run = sluice(&["fetch", "--to", folder, "hdfs://h/a.jar"]).expect_code(2);
    assert!(
        run.stderr.contains("the scheme hdfs cannot be fetched"),
        "{}",
        run.stderr
    );
    sluice(&["fetch", "--to", folder]).expect_code(2);
    let run = sluice(&[
        "fetch",
        "--to",
        folder,
        "--attempts",
        "1",
        "http://127.0.0.1:1/a.jar",
    ])
    .expect_code(3);
    assert!(
        run.stderr.contains("sluice: http://127.0.0.1:1/a.jar: ")
            && run.stderr.contains("given up after 1 attempts"),
        "{}",
        run.stderr
    );
}
