//! Sluice's own image: the binary, its libraries and the public authorities' certificates, nothing else. It runs webhook
//! and controller, and fetches jars in the init containers of Flink's pods.

use std::path::Path;
use std::time::Instant;

use super::host::CA_CERTIFICATES;
use super::layer::{Owner, Source};
use super::oci::{Settings, hex};
use super::skeleton::{User, skeleton};
use super::step::Step;
use super::store::Store;
use super::{Image, libraries};
use crate::assets::progress::say;
use crate::{AssetsCache, ClusterError};

/// As in other images without a shell: no name that a machine gives away.
const NONROOT: User = User {
    name: "nonroot",
    id: 65532,
    home: "/",
    shell: "/sbin/nologin",
};
/// Raised when this file puts something else into the image.
const RECIPE: u32 = 1;

/// The name that [`sluice`] gives its image: that of the published one, so that manifests need not be changed.
pub const SLUICE_IMAGE: &str = concat!("ghcr.io/sluice-dev/sluice:", env!("CARGO_PKG_VERSION"));

/// The image of the `sluice` at `binary`: from the cache if it holds the one of this very file, or built now, in a few
/// seconds. The binary must be for this machine, whose libraries go with it.
///
/// # Errors
/// [`ClusterError::Io`], [`ClusterError::ToolMissing`], [`ClusterError::BuildFailed`] or [`ClusterError::NoCacheDir`].
pub async fn sluice(cache: &AssetsCache, binary: &Path) -> Result<Image, ClusterError> {
    let store = Store::open(cache)?;
    let names = vec![SLUICE_IMAGE.to_owned()];
    let digest = digest(binary).await?;
    let digest = digest.get(..12).unwrap_or(&digest);
    let file = format!("sluice-{RECIPE}-{digest}.tar");
    if let Some(image) = Image::cached(store.path(&file), &names) {
        return Ok(image);
    }
    let _lock = store.lock().await?;
    if let Some(image) = Image::cached(store.path(&file), &names) {
        return Ok(image);
    }
    let began = Instant::now();
    let what = "Sluice's image";
    let certificates = CA_CERTIFICATES.get(what).await?;
    let mut step = Step::begin(what, "gathering the binary and its libraries");
    let root = Owner::ROOT;
    let mut layer = skeleton(NONROOT);
    libraries::add(&mut layer, &mut step, &[binary.to_path_buf()], None).await?;
    layer
        .file(
            "usr/local/bin/sluice",
            Source::Path(binary.to_path_buf()),
            0o755,
            root,
        )
        .file(
            "etc/ssl/certs/ca-certificates.crt",
            Source::Path(certificates),
            0o644,
            root,
        );
    let settings = Settings {
        names: names.clone(),
        user: format!("{0}:{0}", NONROOT.id),
        workdir: "/".to_owned(),
        env: vec![
            "PATH=/usr/local/bin:/usr/bin:/bin".to_owned(),
            "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt".to_owned(),
        ],
        entrypoint: vec!["/usr/local/bin/sluice".to_owned()],
        command: vec!["--help".to_owned()],
        labels: vec![(
            "org.opencontainers.image.version".to_owned(),
            env!("CARGO_PKG_VERSION").to_owned(),
        )],
    };
    drop(step);
    let step = Step::begin(what, "writing the archive");
    let path = store.write(step, vec![layer], settings, &file).await?;
    store.remove_superseded("sluice-", &path);
    let image = Image::built(path, names)?;
    say(&format!(
        "{what} is built: {}, in {:.1} s",
        image.size(),
        began.elapsed().as_secs_f64()
    ));
    Ok(image)
}

/// Of a file's content. A debug binary has a hundred megabytes and more, so not on the thread that serves others.
async fn digest(path: &Path) -> Result<String, ClusterError> {
    let path = path.to_path_buf();
    let reading = path.clone();
    let hash = tokio::task::spawn_blocking(move || {
        use std::io::Read;
        let mut file = std::fs::File::open(&reading)?;
        let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
        let mut buffer = vec![0; 1 << 20];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(hex(&hash.finish())),
                read => hash.update(buffer.get(..read).unwrap_or_default()),
            }
        }
    });
    hash.await
        .map_err(std::io::Error::other)
        .flatten()
        .map_err(ClusterError::io("reading", &path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn two_builds_of_one_binary_are_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let mut archives = Vec::new();
        for name in ["one", "two"] {
            // Another path, another time, other rights: none of these is the image's.
            let binary = dir.path().join(name);
            std::fs::copy("/bin/true", &binary).unwrap();
            let cache = AssetsCache::Dir(dir.path().join(format!("cache-{name}")));
            let image = sluice(&cache, &binary).await.unwrap();
            assert_eq!(image.names(), [SLUICE_IMAGE]);
            archives.push(std::fs::read(image.path()).unwrap());
        }
        assert!(archives[0].len() > 100_000, "{}", archives[0].len());
        assert!(archives[0] == archives[1], "the archives differ");
    }
}
