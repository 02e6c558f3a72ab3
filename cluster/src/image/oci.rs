//! Writes an OCI image layout into one tar file, which `ctr -n k8s.io images import` (and `docker load`, `podman load`,
//! `skopeo copy oci-archive:`) take. What is in the layers is decided elsewhere.
//!
//! Layers are plain tar: most of what goes in are jars and libraries, which gzip hardly shrinks but takes seconds for.
//! The same layers and settings give the same bytes: entries sorted, times 0, owners given, no name of the machine.
//! The three JSON documents are written by hand from the OCI image specification 1.1; a crate for them would be
//! larger than they are.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ring::digest::{Context, Digest, SHA256};
use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

use super::layer::{Entry, Kind, Layer, Source};
use crate::ClusterError;

/// A tar file consists of blocks of this many bytes.
const BLOCK: u64 = 512;
/// Reads and writes are gathered to this many bytes.
const BUFFER: usize = 1 << 20;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// How the image is called and run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Full names with tag, such as `docker.io/library/flink:1.20.5`; containerd makes an image of each.
    pub names: Vec<String>,
    /// User (and group) that the entry point runs as, in digits, such as `9999:9999`.
    pub user: String,
    /// Folder in which the entry point starts.
    pub workdir: String,
    /// Variables, each `NAME=value`.
    pub env: Vec<String>,
    /// The program that is always run.
    pub entrypoint: Vec<String>,
    /// Its arguments, if whoever runs the image gives none.
    pub command: Vec<String>,
    /// Labels, as name and value.
    pub labels: Vec<(String, String)>,
}

/// How far the writing is, shared with whoever shows it; and the way to end it early.
#[derive(Debug, Default)]
pub struct Written {
    /// Bytes of files that are in the archive.
    pub bytes: AtomicU64,
    /// Set it to make [`write`] end with an error of kind `Interrupted`.
    pub cancel: AtomicBool,
}

/// Writes the archive to `path`, which is made or overwritten. Returns the manifest's digest (`sha256:...`), which is
/// what a node calls the image's id in `imageID`.
///
/// # Errors
/// [`ClusterError::Io`] naming the file which could not be read or written, also when it was cancelled.
pub fn write(
    path: &Path,
    layers: &[Layer],
    settings: &Settings,
    written: &Written,
) -> Result<String, ClusterError> {
    let file = File::create(path).map_err(ClusterError::io("creating", path))?;
    let mut archive = Archive { file, at: 0 };
    let io = || ClusterError::io("writing", path);

    archive
        .small("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)
        .map_err(io())?;
    let mut blobs = Vec::new();
    for layer in layers {
        blobs.push(archive.layer(layer, path, written)?);
    }
    let config = bytes(&config(settings, &blobs));
    let manifest = bytes(&json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, &hex(&sha256(&config)), config.len() as u64),
        "layers": blobs.iter().map(|blob| descriptor(LAYER, &blob.digest, blob.size)).collect::<Vec<_>>(),
    }));
    for blob in [&config, &manifest] {
        let name = format!("blobs/sha256/{}", hex(&sha256(blob)));
        archive.small(&name, blob).map_err(io())?;
    }
    let digest = hex(&sha256(&manifest));
    let index = bytes(&index(settings, &digest, manifest.len() as u64));
    archive.small("index.json", &index).map_err(io())?;
    archive.finish().map_err(io())?;
    Ok(format!("sha256:{digest}"))
}

/// A layer that has been written.
struct Blob {
    digest: String,
    size: u64,
}

fn config(settings: &Settings, blobs: &[Blob]) -> Value {
    let labels: serde_json::Map<String, Value> = settings
        .labels
        .iter()
        .map(|(name, value)| (name.clone(), json!(value)))
        .collect();
    json!({
        "created": "1970-01-01T00:00:00Z",
        "architecture": architecture(),
        "os": "linux",
        "config": {
            "User": settings.user,
            "WorkingDir": settings.workdir,
            "Env": settings.env,
            "Entrypoint": settings.entrypoint,
            "Cmd": settings.command,
            "Labels": labels,
        },
        // A layer that is not compressed has the same digest packed and unpacked.
        "rootfs": {
            "type": "layers",
            "diff_ids": blobs.iter().map(|blob| format!("sha256:{}", blob.digest)).collect::<Vec<_>>(),
        },
    })
}

/// One descriptor for each name, all of the same manifest.
fn index(settings: &Settings, manifest: &str, size: u64) -> Value {
    let manifests: Vec<Value> = settings
        .names
        .iter()
        .map(|name| {
            let mut descriptor = descriptor(MANIFEST, manifest, size);
            if let Some(object) = descriptor.as_object_mut() {
                let tag = name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
                object.insert(
                    "annotations".to_owned(),
                    json!({
                        // containerd names the image by the first, others by the second.
                        "io.containerd.image.name": name,
                        "org.opencontainers.image.ref.name": tag,
                    }),
                );
            }
            descriptor
        })
        .collect();
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": manifests,
    })
}

fn descriptor(media_type: &str, digest: &str, size: u64) -> Value {
    json!({"mediaType": media_type, "digest": format!("sha256:{digest}"), "size": size})
}

/// The machine's architecture, as Go calls it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The tar file around everything.
struct Archive {
    file: File,
    /// Where the next header goes.
    at: u64,
}

impl Archive {
    fn small(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        let size = content.len() as u64;
        self.header(name, size)?;
        self.file.write_all(content)?;
        self.pad(size)
    }

    /// Writes a layer and only then its header, which holds digest and size: the layer is read and written only once.
    fn layer(
        &mut self,
        layer: &Layer,
        path: &Path,
        written: &Written,
    ) -> Result<Blob, ClusterError> {
        let io = || ClusterError::io("writing", path);
        self.file
            .seek(SeekFrom::Start(self.at + BLOCK))
            .map_err(io())?;
        let blob = pack(&mut self.file, layer, path, written)?;
        let size = blob.size;
        let name = format!("blobs/sha256/{}", blob.digest);
        self.header(&name, size).map_err(io())?;
        self.file
            .seek(SeekFrom::Start(self.at + size))
            .map_err(io())?;
        self.pad(size).map_err(io())?;
        Ok(blob)
    }

    /// Writes a header at the place for it and stands where the content begins.
    fn header(&mut self, name: &str, size: u64) -> io::Result<()> {
        let mut header = Header::new_ustar();
        header.set_path(name)?;
        header.set_size(size);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_entry_type(EntryType::Regular);
        header.set_cksum();
        self.file.seek(SeekFrom::Start(self.at))?;
        self.file.write_all(header.as_bytes())?;
        self.at += BLOCK;
        Ok(())
    }

    /// Fills the last block after content of this size.
    fn pad(&mut self, size: u64) -> io::Result<()> {
        let rest = size.next_multiple_of(BLOCK) - size;
        io::copy(&mut io::repeat(0).take(rest), &mut self.file)?;
        self.at += size + rest;
        Ok(())
    }

    /// A tar file ends with two empty blocks.
    fn finish(mut self) -> io::Result<()> {
        io::copy(&mut io::repeat(0).take(2 * BLOCK), &mut self.file)?;
        self.file.sync_all()
    }
}

/// Writes a layer at the place where the file stands.
fn pack(
    file: &mut File,
    layer: &Layer,
    path: &Path,
    written: &Written,
) -> Result<Blob, ClusterError> {
    let io = || ClusterError::io("writing", path);
    let mut tar = Builder::new(Hashing {
        to: BufWriter::with_capacity(BUFFER, file),
        hash: Context::new(&SHA256),
        size: 0,
    });
    for (name, entry) in layer.entries() {
        if written.cancel.load(Ordering::Relaxed) {
            return Err(io()(io::ErrorKind::Interrupted.into()));
        }
        append(&mut tar, name, entry, path, written)?;
    }
    let mut hashing = tar.into_inner().map_err(io())?;
    hashing.flush().map_err(io())?;
    Ok(Blob {
        digest: hex(&hashing.hash.finish()),
        size: hashing.size,
    })
}

fn append<W: Write>(
    tar: &mut Builder<W>,
    name: &str,
    entry: &Entry,
    archive: &Path,
    written: &Written,
) -> Result<(), ClusterError> {
    let io = || ClusterError::io("writing", archive);
    let mut header = Header::new_gnu();
    header.set_mode(entry.mode);
    header.set_uid(entry.owner.0.into());
    header.set_gid(entry.owner.0.into());
    header.set_mtime(0);
    header.set_size(0);
    match &entry.kind {
        Kind::Dir => {
            header.set_entry_type(EntryType::Directory);
            tar.append_data(&mut header, name, io::empty())
                .map_err(io())
        }
        Kind::Symlink(target) => {
            header.set_entry_type(EntryType::Symlink);
            tar.append_link(&mut header, name, target).map_err(io())
        }
        Kind::File(source) => {
            header.set_entry_type(EntryType::Regular);
            match source {
                Source::Bytes(bytes) => {
                    header.set_size(bytes.len() as u64);
                    tar.append_data(&mut header, name, bytes.as_slice())
                        .map_err(io())?;
                    written
                        .bytes
                        .fetch_add(bytes.len() as u64, Ordering::Relaxed);
                    Ok(())
                }
                Source::Path(path) => {
                    let reading = || ClusterError::io("packing", path);
                    let size = fs::metadata(path).map_err(reading())?.len();
                    let file = File::open(path).map_err(reading())?;
                    header.set_size(size);
                    // Exactly as many bytes as the header says: what grows meanwhile would shift all that follows.
                    let mut content = Counting {
                        from: BufReader::with_capacity(BUFFER, file).take(size),
                        written,
                    };
                    tar.append_data(&mut header, name, &mut content)
                        .map_err(reading())?;
                    if content.from.limit() == 0 {
                        Ok(())
                    } else {
                        Err(reading()(io::Error::other(
                            "it became shorter while it was read",
                        )))
                    }
                }
            }
        }
    }
}

/// Counts what is read, for the progress bar.
struct Counting<'a, R> {
    from: R,
    written: &'a Written,
}

impl<R: Read> Read for Counting<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.written.bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Hashes and counts what is written.
struct Hashing<W> {
    to: W,
    hash: Context,
    size: u64,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.to.write(buffer)?;
        self.hash.update(buffer.get(..count).unwrap_or_default());
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

pub(super) fn sha256(bytes: &[u8]) -> Digest {
    ring::digest::digest(&SHA256, bytes)
}

pub(super) fn hex(digest: &Digest) -> String {
    use std::fmt::Write;
    digest
        .as_ref()
        .iter()
        .fold(String::new(), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

#[cfg(test)]
#[path = "oci_tests.rs"]
mod tests;
