//! `sluice image` from outside: what it says, and that Sluice's own image holds what it needs to run. Flink's image is
//! proven in `sluice-tests`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // clippy.toml spares tests, but not their helper functions

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::sluice;

#[test]
fn what_is_no_flink_version_is_refused_before_anything_is_fetched() {
    for (version, says) in [
        ("1.17", "images are built of 1.18 and later"),
        ("latest", "it is not two or three numbers with dots between"),
        ("1.99", "give all three numbers"),
    ] {
        let run = sluice(&["image", "flink", "--version", version]).expect_code(2);
        assert!(
            run.stderr.contains(&format!("Flink version {version:?}: "))
                && run.stderr.contains(says)
                && run.stderr.contains("Name one such as 1.20"),
            "{}",
            run.stderr
        );
    }
}

#[test]
fn the_help_says_how_an_archive_is_loaded() {
    for image in ["flink", "sluice"] {
        let run = sluice(&["image", image, "--help"]).expect_code(0);
        assert!(
            run.stdout.contains("ctr -n k8s.io images import FILE"),
            "{}",
            run.stdout
        );
    }
}

#[test]
fn sluices_own_image_runs_and_a_second_one_is_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let build = |cache: &str, output: &str| {
        let run = sluice(&[
            "image",
            "sluice",
            "--assets",
            path(cache).to_str().unwrap(),
            "--output",
            path(output).to_str().unwrap(),
        ])
        .expect_code(0);
        assert_eq!(run.stdout, format!("{}\n", path(output).display()));
        run.stderr
    };
    let said = build("cache", "a.tar");
    assert!(
        said.contains("ghcr.io/sluice-dev/sluice:0.1.0: ") && !said.contains("from the cache"),
        "{said}"
    );
    let said = build("cache", "b.tar");
    assert!(said.contains("(from the cache)"), "{said}");
    build("another-cache", "c.tar");
    let a = fs::read(path("a.tar")).unwrap();
    for other in ["b.tar", "c.tar"] {
        assert!(a == fs::read(path(other)).unwrap(), "{other} is not a.tar");
    }

    let config = unpack(&path("a.tar"), &path("root"));
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["Entrypoint"][0], "/usr/local/bin/sluice");
    let certificates = fs::read_to_string(path("root/etc/ssl/certs/ca-certificates.crt")).unwrap();
    assert!(certificates.contains("-----BEGIN CERTIFICATE-----"));
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        assert!(
            std::env::var("SLUICE_REQUIRE").as_deref() != Ok("all"),
            "SLUICE_REQUIRE=all, but chroot needs root"
        );
        eprintln!("the image is not run: chroot needs root");
        return;
    }
    let run = Command::new("chroot")
        .arg("--userspec=65532:65532")
        .arg(path("root"))
        .args(["/usr/local/bin/sluice", "--version"])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .unwrap();
    assert!(
        run.status.success(),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    assert_eq!(
        String::from_utf8_lossy(&run.stdout),
        concat!("sluice ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

/// Any static binary stands for Sluice's, which takes minutes to build.
#[test]
fn a_static_binary_takes_no_library_along() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::write(path("main.c"), "int main(void) { return 42; }").unwrap();
    let built = Command::new("cc")
        .args(["-static", "-o"])
        .args([path("static"), path("main.c")])
        .status()
        .unwrap();
    assert!(built.success(), "cc: {built}");
    sluice(&[
        "image",
        "sluice",
        "--binary",
        path("static").to_str().unwrap(),
        "--assets",
        path("cache").to_str().unwrap(),
        "--output",
        path("a.tar").to_str().unwrap(),
    ])
    .expect_code(0);
    unpack(&path("a.tar"), &path("root"));
    let listed = Command::new("find")
        .arg(path("root"))
        .args(["-type", "f", "-printf", "%P\\n"])
        .output()
        .unwrap();
    let mut files: Vec<&str> = std::str::from_utf8(&listed.stdout)
        .unwrap()
        .lines()
        .collect();
    files.sort_unstable();
    assert!(!files.iter().any(|file| file.contains(".so")), "{files:?}");
    assert!(files.contains(&"usr/local/bin/sluice"), "{files:?}");
}

#[test]
fn an_output_that_cannot_be_written_is_named_with_the_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    let missing = dir.path().join("missing/a.tar");
    for output in [dir.path(), &missing] {
        let run = sluice(&[
            "image",
            "sluice",
            "--binary",
            "/bin/sh",
            "--assets",
            cache.to_str().unwrap(),
            "-o",
            output.to_str().unwrap(),
        ])
        .expect_code(2);
        assert!(
            run.stderr
                .contains(&format!("--output {}: ", output.display()))
                && run
                    .stderr
                    .contains("Name a file in a folder that can be written to"),
            "{}",
            run.stderr
        );
    }
}

#[test]
fn a_binary_that_is_not_there_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let run = sluice(&[
        "image",
        "sluice",
        "--binary",
        "/no/such/sluice",
        "--assets",
        dir.path().to_str().unwrap(),
    ])
    .expect_code(2);
    assert!(
        run.stderr.contains("reading /no/such/sluice: "),
        "{}",
        run.stderr
    );
}

/// Unpacks an archive with the machine's tar and returns the `config` of its configuration.
fn unpack(archive: &Path, root: &Path) -> Value {
    let member = |name: &str| {
        let mut tar = Command::new("tar");
        let read = tar.arg("-xOf").arg(archive).arg(name).output().unwrap();
        assert!(read.status.success(), "tar: {name}: {}", read.status);
        read.stdout
    };
    let json = |name: &str| serde_json::from_slice::<Value>(&member(name)).unwrap();
    let blob = |descriptor: &Value| {
        format!(
            "blobs/{}",
            descriptor["digest"].as_str().unwrap().replace(':', "/")
        )
    };
    let manifest = json(&blob(&json("index.json")["manifests"][0]));
    fs::create_dir(root).unwrap();
    for layer in manifest["layers"].as_array().unwrap() {
        let plain = root.with_extension("layer");
        fs::write(&plain, member(&blob(layer))).unwrap();
        let done = Command::new("tar")
            .arg("-xpf")
            .arg(&plain)
            .arg("-C")
            .arg(root)
            .status()
            .unwrap();
        assert!(done.success(), "tar: {done}");
    }
    json(&blob(&manifest["config"]))["config"].clone()
}
