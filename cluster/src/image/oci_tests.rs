//! An archive is read back with the tar crate and compared with what the OCI specification asks for.

use std::collections::BTreeMap;
use std::io::Read;

use super::super::layer::Owner;
use super::*;

fn layers(dir: &Path) -> Vec<Layer> {
    let big = dir.join("big");
    // Longer than a buffer and no multiple of a block.
    fs::write(&big, vec![7; BUFFER + 1234]).unwrap();
    let mut first = Layer::new();
    first
        .symlink("bin", "usr/bin")
        .file("usr/bin/tool", "#!/bin/sh\n", 0o755, Owner::ROOT)
        .dir("tmp", 0o1777, Owner::ROOT);
    let mut second = Layer::new();
    let long = format!("opt/{}/{}", "d".repeat(90), "f".repeat(90));
    second
        .file("opt/big", Source::Path(big), 0o644, Owner(9999))
        .file(&long, "long", 0o644, Owner(9999))
        .file("opt/empty", "", 0o600, Owner(9999));
    vec![first, second]
}

fn settings() -> Settings {
    Settings {
        names: vec![
            "docker.io/library/flink:1.20.5".to_owned(),
            "docker.io/library/flink:1.20".to_owned(),
        ],
        user: "9999:9999".to_owned(),
        workdir: "/opt".to_owned(),
        env: vec!["A=b".to_owned()],
        entrypoint: vec!["/run.sh".to_owned()],
        command: vec!["help".to_owned()],
        labels: vec![("l".to_owned(), "v".to_owned())],
    }
}

fn written(dir: &Path, name: &str) -> (Vec<u8>, String) {
    let path = dir.join(name);
    let digest = write(&path, &layers(dir), &settings(), &Written::default()).unwrap();
    (fs::read(path).unwrap(), digest)
}

fn members(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
    tar::Archive::new(archive)
        .entries()
        .unwrap()
        .map(|entry| {
            let mut entry = entry.unwrap();
            assert_eq!(entry.header().mtime().unwrap(), 0);
            let name = entry.path().unwrap().to_string_lossy().into_owned();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (name, content)
        })
        .collect()
}

fn value(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// The blob that a descriptor names, after checking its digest and size.
fn blob<'a>(members: &'a BTreeMap<String, Vec<u8>>, descriptor: &Value) -> &'a [u8] {
    let digest = descriptor["digest"].as_str().unwrap();
    let content = &members[&format!("blobs/{}", digest.replace(':', "/"))];
    assert_eq!(digest, format!("sha256:{}", hex(&sha256(content))));
    assert_eq!(descriptor["size"], content.len());
    content
}

#[test]
fn the_same_content_is_the_same_archive() {
    let dir = tempfile::tempdir().unwrap();
    let (first, digest) = written(dir.path(), "a.tar");
    let (second, again) = written(dir.path(), "b.tar");
    assert!(first == second, "the archives differ");
    assert_eq!(digest, again);
}

#[test]
fn every_digest_and_size_is_right() {
    let dir = tempfile::tempdir().unwrap();
    let (archive, digest) = written(dir.path(), "a.tar");
    let members = members(&archive);
    assert_eq!(members["oci-layout"], br#"{"imageLayoutVersion":"1.0.0"}"#);
    let index = value(&members["index.json"]);
    let named: Vec<(&str, &str)> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|descriptor| {
            assert_eq!(descriptor["digest"], digest.as_str());
            let annotations = &descriptor["annotations"];
            (
                annotations["io.containerd.image.name"].as_str().unwrap(),
                annotations["org.opencontainers.image.ref.name"]
                    .as_str()
                    .unwrap(),
            )
        })
        .collect();
    assert_eq!(
        named,
        [
            ("docker.io/library/flink:1.20.5", "1.20.5"),
            ("docker.io/library/flink:1.20", "1.20")
        ]
    );
    let manifest = value(blob(&members, &index["manifests"][0]));
    let config = value(blob(&members, &manifest["config"]));
    assert_eq!(config["config"]["User"], "9999:9999");
    assert_eq!(config["config"]["Entrypoint"], json!(["/run.sh"]));
    assert_eq!(config["os"], "linux");
    let layers = manifest["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 2);
    for (at, layer) in layers.iter().enumerate() {
        blob(&members, layer);
        assert_eq!(
            config["rootfs"]["diff_ids"][at], layer["digest"],
            "a plain layer's two digests are one"
        );
    }
    assert_eq!(members.len(), 2 + 2 + 2, "{:?}", members.keys());
}

#[test]
fn a_layer_unpacks_to_what_went_in() {
    let dir = tempfile::tempdir().unwrap();
    let (archive, _) = written(dir.path(), "a.tar");
    let members = members(&archive);
    let index = value(&members["index.json"]);
    let manifest = value(blob(&members, &index["manifests"][0]));
    let mut seen = Vec::new();
    for layer in manifest["layers"].as_array().unwrap() {
        let mut tar = tar::Archive::new(blob(&members, layer));
        for entry in tar.entries().unwrap() {
            let entry = entry.unwrap();
            let header = entry.header();
            seen.push((
                entry.path().unwrap().to_string_lossy().into_owned(),
                header.mode().unwrap(),
                header.uid().unwrap(),
                header.gid().unwrap(),
                entry.size(),
            ));
            assert_eq!(header.mtime().unwrap(), 0);
            assert_eq!(header.username().unwrap(), Some(""));
        }
    }
    let folder = format!("opt/{}", "d".repeat(90));
    let entry = |name: &str, mode, owner, size| (name.to_owned(), mode, owner, owner, size);
    assert_eq!(
        seen,
        [
            entry("bin", 0o777, 0, 0),
            entry("tmp", 0o1777, 0, 0),
            entry("usr", 0o755, 0, 0),
            entry("usr/bin", 0o755, 0, 0),
            entry("usr/bin/tool", 0o755, 0, 10),
            entry("opt", 0o755, 0, 0),
            entry("opt/big", 0o644, 9999, BUFFER as u64 + 1234),
            entry(&folder, 0o755, 0, 0),
            entry(&format!("{folder}/{}", "f".repeat(90)), 0o644, 9999, 4),
            entry("opt/empty", 0o600, 9999, 0),
        ]
    );
}

#[test]
fn a_file_that_is_missing_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut layer = Layer::new();
    layer.file(
        "x",
        Source::Path(dir.path().join("not-there")),
        0o644,
        Owner::ROOT,
    );
    let error = write(
        &dir.path().join("a.tar"),
        &[layer],
        &settings(),
        &Written::default(),
    )
    .unwrap_err()
    .to_string();
    assert!(
        error.starts_with("packing ") && error.contains("not-there"),
        "{error}"
    );
}

#[test]
fn writing_can_be_cancelled() {
    let dir = tempfile::tempdir().unwrap();
    let cancelled = Written::default();
    cancelled.cancel.store(true, Ordering::Relaxed);
    let path = dir.path().join("a.tar");
    let error = write(&path, &layers(dir.path()), &settings(), &cancelled).unwrap_err();
    let ClusterError::Io { source, .. } = error else {
        unreachable!("{error}")
    };
    assert_eq!(source.kind(), io::ErrorKind::Interrupted);
}
