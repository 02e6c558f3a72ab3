//! `sluice image`: container images without a container engine. How they are made is in `sluice-cluster`; this is the
//! command line in front of it.

mod sbom;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use sluice_cluster::image::{self, FlinkVersion, Image, Origin};
use sluice_cluster::{AssetsCache, ClusterError};

use crate::exit::{Failure, Outcome};

/// Build container images without a container engine, as archives that `ctr`, `docker` and `podman` load.
#[derive(Debug, clap::Args)]
pub struct ImageArgs {
    /// Which image.
    #[command(subcommand)]
    pub which: Which,
}

/// The images that can be built.
#[derive(Debug, clap::Subcommand)]
pub enum Which {
    /// Apache Flink, as docker.io/library/flink:VERSION, with the official image's entry point, paths and user
    ///
    /// Flink comes from the Python packages apache-flink and apache-flink-libraries, through the pip of this machine and
    /// whatever index it is set up with; Java, bash and busybox come from this machine (on Debian, run by root, missing
    /// packages are installed). What has been built is kept in a cache.
    #[command(after_help = LOADING)]
    Flink(FlinkArgs),
    /// Sluice itself: this binary, its libraries and the public authorities' certificates
    #[command(after_help = LOADING)]
    Sluice(SluiceArgs),
}

const LOADING: &str = "The archive is an OCI image layout: `ctr -n k8s.io images import FILE` on a node, `docker load -i FILE` \
                       (Docker 25 and later), `podman load -i FILE`, `kind load image-archive FILE`.";

/// What both have.
#[derive(Debug, clap::Args)]
pub struct Where {
    /// File to which the archive is written; without it, its path in the cache is printed
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Folder in which images and what they are made of are kept [default: $XDG_CACHE_HOME/sluice]
    #[arg(long, value_name = "DIR")]
    pub assets: Option<PathBuf>,
}

/// Arguments of `sluice image flink`.
#[derive(Debug, clap::Args)]
pub struct FlinkArgs {
    /// Flink version: 1.18 or later; two numbers stand for the newest release that this Sluice was tried with
    #[arg(long, value_name = "VERSION", default_value_t = FlinkVersion::DEFAULT, value_parser = version)]
    pub version: FlinkVersion,
    /// Where it goes.
    #[command(flatten)]
    pub to: Where,
}

/// Arguments of `sluice image sluice`.
#[derive(Debug, clap::Args)]
pub struct SluiceArgs {
    /// Binary to put into the image, built for this machine [default: this one]
    #[arg(long, value_name = "FILE")]
    pub binary: Option<PathBuf>,
    /// File to which a bill of materials is written: what this very Sluice was built of, as CycloneDX JSON
    #[arg(long, value_name = "FILE")]
    pub sbom: Option<PathBuf>,
    /// Where it goes.
    #[command(flatten)]
    pub to: Where,
}

fn version(text: &str) -> Result<FlinkVersion, String> {
    text.parse()
        .map_err(|error: ClusterError| error.to_string())
}

/// Builds an image or takes it from the cache, and prints where it is.
///
/// # Errors
/// [`Failure::Input`] if the binary or the output cannot be used, or something that the build needs is missing or cannot
/// be fetched.
pub fn run(args: &ImageArgs) -> Result<Outcome, Failure> {
    let runtime = tokio::runtime::Runtime::new().context("starting the runtime")?;
    let (built, to) = match &args.which {
        Which::Flink(args) => (
            runtime.block_on(image::flink(&cache(&args.to), args.version)),
            &args.to,
        ),
        Which::Sluice(args) => {
            if let Some(sbom) = &args.sbom {
                write_sbom(sbom)?;
            }
            let binary = match &args.binary {
                Some(binary) => binary.clone(),
                None => std::env::current_exe().context("looking for this very binary")?,
            };
            (
                runtime.block_on(image::sluice(&cache(&args.to), &binary)),
                &args.to,
            )
        }
    };
    let image = built.map_err(|error| Failure::Input(error.to_string()))?;
    let path = match &to.output {
        Some(output) => {
            place(&image, output)?;
            output
        }
        None => image.path(),
    };
    let origin = match image.origin() {
        Origin::Cache => " (from the cache)",
        Origin::Build => "",
    };
    crate::note(format_args!(
        "{}: {}{origin}",
        image.names().join(", "),
        image.size()
    ));
    writeln!(std::io::stdout(), "{}", path.display())?;
    Ok(Outcome::Fine)
}

fn write_sbom(file: &Path) -> Result<(), Failure> {
    let mut text = serde_json::to_string_pretty(&sbom::cyclonedx()).context("writing JSON")?;
    text.push('\n');
    std::fs::write(file, text).map_err(|error| {
        Failure::Input(format!(
            "--sbom {}: {error}. Name a file in a folder that can be written to",
            file.display()
        ))
    })
}

fn cache(to: &Where) -> AssetsCache {
    to.assets
        .clone()
        .map_or(AssetsCache::Default, AssetsCache::Dir)
}

/// Copies the archive, whole or not at all: whoever waits for the file never sees half of it.
fn place(image: &Image, output: &Path) -> Result<(), Failure> {
    let refused = |error: std::io::Error| {
        Failure::Input(format!(
            "--output {}: {error}. Name a file in a folder that can be written to",
            output.display()
        ))
    };
    if output.is_dir() {
        return Err(refused(std::io::ErrorKind::IsADirectory.into()));
    }
    let folder = match output.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let mut source = std::fs::File::open(image.path())
        .with_context(|| format!("opening {}", image.path().display()))?;
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(refused)?;
    std::io::copy(&mut source, &mut file).map_err(refused)?;
    // A temporary file is for its owner alone; the archive is no secret.
    std::fs::set_permissions(
        file.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o644),
    )
    .map_err(refused)?;
    file.persist(output).map_err(|error| refused(error.error))?;
    Ok(())
}
