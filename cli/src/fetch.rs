//! `sluice fetch`: the work of the init container that brings jars into a Flink pod.
//!
//! What a URI means and how it is fetched is in `sluice_controller::fetch`; here are the arguments and the lines of the log.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use clap::Args;
use sluice_controller::fetch::{
    FetchError, Fetcher, Limits, LocalFiles, Progress, Reach, S3Settings, plan,
};

use crate::exit::{Failure, Outcome};

/// Between two lines about one file: kubectl logs shows that something happens, and no more.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// Fetch files into a folder: https://, http://, s3:// (credentials of the AWS_ variables) and file://.
#[derive(Debug, Args)]
pub struct FetchArgs {
    /// Folder to put them into; it must exist
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
    /// Most bytes of one file
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().bytes)]
    pub max_bytes: u64,
    /// Seconds for one file, all attempts together
    #[arg(long, value_name = "SECONDS", default_value_t = Limits::default().total.as_secs())]
    pub timeout: u64,
    /// Attempts at one file
    #[arg(long, value_name = "N", default_value_t = Limits::default().attempts, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub attempts: u32,
    /// What to fetch; each is stored under the name that its URI ends in
    #[arg(value_name = "URI", required = true)]
    pub uris: Vec<String>,
}

/// Fetches one file after the other.
///
/// # Errors
/// [`Failure::Input`] for URIs that cannot be followed, [`Failure::Unreachable`] for files that do not come.
pub fn run(args: &FetchArgs) -> Result<Outcome, Failure> {
    let planned = plan(&args.uris, LocalFiles::Allowed).map_err(failure)?;
    let limits = Limits {
        bytes: args.max_bytes,
        total: Duration::from_secs(args.timeout),
        attempts: args.attempts,
        ..Limits::default()
    };
    // In a pod the volume is there, and its folders are not.
    if let Err(error) = std::fs::create_dir_all(&args.to) {
        return Err(Failure::Input(format!(
            "--to {}: {error}; name a folder that can be made and written to",
            args.to.display()
        )));
    }
    // In the user's own pod, which reaches what it may.
    let fetcher = Fetcher::new(limits, S3Settings::from_env(), Reach::Anywhere).map_err(failure)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Internal(error.into()))?;
    for (uri, source, name) in planned {
        let begun = Instant::now();
        crate::note(format_args!("fetching {name}"));
        let told = Mutex::new(begun);
        let tell = |progress: Progress| tell(&name, &told, &progress);
        let coming = fetcher.fetch(&uri, &source, &args.to, &name, &tell);
        let bytes = runtime.block_on(coming).map_err(failure)?;
        crate::note(format_args!(
            "{}: {bytes} bytes in {:.1} s",
            args.to.join(&name).display(),
            begun.elapsed().as_secs_f32()
        ));
    }
    Ok(Outcome::Fine)
}

fn tell(name: &str, told: &Mutex<Instant>, progress: &Progress) {
    match progress {
        Progress::Again { reason, after } => crate::note(format_args!(
            "{name}: {reason}; again in {:.1} s",
            after.as_secs_f32()
        )),
        Progress::Bytes { done, of } => {
            let Ok(mut last) = told.lock() else { return };
            if last.elapsed() < TELL_EVERY {
                return;
            }
            *last = Instant::now();
            match of {
                Some(of) => crate::note(format_args!("{name}: {done} of {of} bytes")),
                None => crate::note(format_args!("{name}: {done} bytes")),
            }
        }
    }
}

fn failure(error: FetchError) -> Failure {
    match error {
        FetchError::Uri { .. } | FetchError::SameName { .. } => Failure::Input(error.to_string()),
        FetchError::Http(_) => Failure::Internal(anyhow!(error)),
        FetchError::Refused { .. }
        | FetchError::Failed { .. }
        | FetchError::Slow { .. }
        | FetchError::TooLarge { .. }
        | FetchError::Write { .. } => Failure::Unreachable(anyhow!(error)),
    }
}
