//! One file: asked for, bounded, tried again, written aside and renamed when it is whole.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, StatusCode, Url, redirect};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};

use super::error::FetchError;
use super::reach::{Forbidden, Reach, Resolver};
use super::s3::S3Settings;
use super::source::{Source, shown};
use crate::http;

/// Bytes that are read from a local file at a time.
const BUFFER: usize = 64 * 1024;
/// The first bytes of a jar.
const ZIP: &[u8] = b"PK";

/// Bounds of a download.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of one file.
    pub bytes: u64,
    /// To make a connection.
    pub connect: Duration,
    /// Longest silence of the server, before its answer and within it.
    pub silence: Duration,
    /// For one file, all attempts together.
    pub total: Duration,
    /// How often one file is tried.
    pub attempts: u32,
    /// Before the second attempt; doubled each time.
    pub backoff: Duration,
    /// Redirects that are followed.
    pub redirects: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 2 * 1024 * 1024 * 1024,
            connect: Duration::from_secs(10),
            silence: Duration::from_secs(30),
            total: Duration::from_mins(15),
            attempts: 5,
            backoff: Duration::from_secs(1),
            redirects: 5,
        }
    }
}

/// How far a file has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// This many bytes are here, of so many where the server has said it.
    Bytes {
        /// That are here.
        done: u64,
        /// That there are.
        of: Option<u64>,
    },
    /// An attempt failed; the next one follows.
    Again {
        /// Why.
        reason: String,
        /// When the next one begins.
        after: Duration,
    },
}

/// Fetches files. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Fetcher {
    client: Client,
    /// For a store that whoever runs the controller has named.
    trusted: Client,
    reach: Arc<Reach>,
    limits: Limits,
    s3: S3Settings,
}

/// Why an attempt failed.
enum Fault {
    /// It may pass.
    Passing(String),
    /// It will not.
    Final(FetchError),
}

impl Fetcher {
    /// With these bounds and this way to S3, from these addresses. A store of AWS_ENDPOINT_URL is reached wherever it is.
    ///
    /// # Errors
    /// [`FetchError::Http`] where no HTTP client can be made.
    pub fn new(limits: Limits, s3: S3Settings, reach: Reach) -> Result<Self, FetchError> {
        let reach = Arc::new(reach);
        Ok(Self {
            client: client(&limits, Arc::clone(&reach))?,
            trusted: client(&limits, Arc::new(Reach::Anywhere))?,
            reach,
            limits,
            s3,
        })
    }

    /// Fetches what `uri` means into `folder`, under this file name; returns how many bytes it has. A file of that name is
    /// replaced when the new one is whole.
    pub async fn fetch(
        &self,
        uri: &str,
        source: &Source,
        folder: &Path,
        name: &str,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<u64, FetchError> {
        let uri = shown(uri);
        let target = folder.join(name);
        let aside = Aside(folder.join(format!(".{name}.{:08x}.part", rand::random::<u32>())));
        let end = Instant::now() + self.limits.total;
        let mut reason = String::new();
        for attempt in 1..=self.limits.attempts {
            let left = end.saturating_duration_since(Instant::now());
            let tried = timeout(left, self.attempt(&uri, source, &aside.0, name, progress)).await;
            match tried {
                Ok(Ok(bytes)) => {
                    tokio::fs::rename(&aside.0, &target)
                        .await
                        .map_err(|error| unwritable(&target, &error))?;
                    return Ok(bytes);
                }
                Ok(Err(Fault::Final(error))) => return Err(error),
                Ok(Err(Fault::Passing(why))) => reason = why,
                Err(_) => {
                    let seconds = self.limits.total.as_secs_f32();
                    return Err(FetchError::Slow { uri, seconds });
                }
            }
            let after = self.limits.backoff * 2_u32.saturating_pow(attempt - 1);
            if attempt == self.limits.attempts || Instant::now() + after >= end {
                return Err(FetchError::Failed {
                    uri,
                    reason,
                    attempts: attempt,
                });
            }
            progress(Progress::Again {
                reason: reason.clone(),
                after,
            });
            sleep(after).await;
        }
        Err(FetchError::Failed {
            uri,
            reason,
            attempts: self.limits.attempts,
        })
    }

    async fn attempt(
        &self,
        uri: &str,
        source: &Source,
        aside: &Path,
        name: &str,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<u64, Fault> {
        let mut sink = Sink {
            file: File::create(aside)
                .await
                .map_err(|error| Fault::Final(unwritable(aside, &error)))?,
            path: aside,
            uri,
            limit: self.limits.bytes,
            done: 0,
            of: None,
            head: Vec::new(),
            progress,
        };
        match source {
            Source::File(path) => copy(uri, path, &mut sink).await?,
            Source::Http(url) => {
                self.reach
                    .check_url(url)
                    .map_err(|why| forbidden(uri, &why))?;
                self.download(uri, &self.client, url.clone(), "", &mut sink)
                    .await?;
            }
            Source::S3 { bucket, key } => {
                let url = self.s3.url(bucket, key).map_err(|reason| {
                    Fault::Final(FetchError::Uri {
                        uri: uri.to_owned(),
                        reason,
                    })
                })?;
                let hint = "; for S3 set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION, or AWS_ENDPOINT_URL for another \
                            store";
                let client = match self.s3.endpoint {
                    Some(_) => &self.trusted,
                    None => &self.client,
                };
                self.download(uri, client, url, hint, &mut sink).await?;
            }
        }
        sink.finish(name).await
    }

    async fn download(
        &self,
        uri: &str,
        client: &Client,
        url: Url,
        hint: &str,
        sink: &mut Sink<'_>,
    ) -> Result<(), Fault> {
        let sent = client.get(url).send().await;
        let mut response = sent.map_err(|error| self.broken(error, uri))?;
        let status = response.status();
        if !status.is_success() {
            return Err(answered(uri, status, hint));
        }
        sink.of = response.content_length();
        if sink.of.is_some_and(|of| of > sink.limit) {
            return Err(sink.too_large());
        }
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| self.broken(error, uri))?
        {
            sink.write(&chunk).await?;
        }
        Ok(())
    }

    fn broken(&self, error: reqwest::Error, uri: &str) -> Fault {
        if let Some(why) = Forbidden::cause_of(&error) {
            return forbidden(uri, why);
        }
        if error.is_redirect() {
            return Fault::Final(FetchError::Refused {
                uri: uri.to_owned(),
                reason: format!("{}; write the URI that it leads to", http::why(error)),
            });
        }
        if error.is_timeout() && !error.is_connect() {
            return Fault::Passing(format!(
                "the server was silent for {} s",
                self.limits.silence.as_secs_f32()
            ));
        }
        Fault::Passing(http::why(error))
    }
}

fn client(limits: &Limits, reach: Arc<Reach>) -> Result<Client, FetchError> {
    let most = limits.redirects;
    let checked = Arc::clone(&reach);
    let policy = redirect::Policy::custom(move |attempt| {
        let was_https = attempt.previous().iter().any(|url| url.scheme() == "https");
        if attempt.previous().len() > most {
            attempt.error(format!("more than {most} redirects"))
        } else if was_https && attempt.url().scheme() != "https" {
            attempt.error("a redirect from https to http is not followed")
        } else if let Err(why) = checked.check_url(attempt.url()) {
            attempt.error(why)
        } else {
            attempt.follow()
        }
    });
    let client = http::builder()?
        .connect_timeout(limits.connect)
        .read_timeout(limits.silence)
        .redirect(policy)
        .dns_resolver(Resolver(reach))
        .build()
        .map_err(http::HttpError::from)?;
    Ok(client)
}

fn forbidden(uri: &str, why: &Forbidden) -> Fault {
    Fault::Final(FetchError::Refused {
        uri: uri.to_owned(),
        reason: why.to_string(),
    })
}

/// What an answer other than success means.
fn answered(uri: &str, status: StatusCode, hint: &str) -> Fault {
    let advice = match status.as_u16() {
        401 | 403 => format!("it may not be read with these credentials, or is not there{hint}"),
        404 | 410 => "there is no such file; is the URI right?".to_owned(),
        301 | 302 | 307 | 308 => {
            format!("it is elsewhere, and the answer does not say where{hint}")
        }
        408 | 425 | 429 | 500..=599 => {
            return Fault::Passing(format!("the server answered {status}"));
        }
        _ => "it cannot be read".to_owned(),
    };
    Fault::Final(FetchError::Refused {
        uri: uri.to_owned(),
        reason: format!("the server answered {status}: {advice}"),
    })
}

async fn copy(uri: &str, path: &Path, sink: &mut Sink<'_>) -> Result<(), Fault> {
    let unreadable = |error: std::io::Error| {
        Fault::Final(FetchError::Refused {
            uri: uri.to_owned(),
            reason: format!("{error}; is the file in this image or volume, and readable?"),
        })
    };
    let mut file = File::open(path).await.map_err(unreadable)?;
    sink.of = Some(file.metadata().await.map_err(unreadable)?.len());
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = file.read(&mut buffer).await.map_err(unreadable)?;
        let Some(chunk) = buffer.get(..read).filter(|chunk| !chunk.is_empty()) else {
            return Ok(());
        };
        sink.write(chunk).await?;
    }
}

fn unwritable(path: &Path, error: &std::io::Error) -> FetchError {
    FetchError::Write {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}

/// A file that is being written.
struct Sink<'a> {
    file: File,
    path: &'a Path,
    uri: &'a str,
    limit: u64,
    done: u64,
    of: Option<u64>,
    head: Vec<u8>,
    progress: &'a (dyn Fn(Progress) + Sync),
}

impl Sink<'_> {
    async fn write(&mut self, chunk: &[u8]) -> Result<(), Fault> {
        self.done = self
            .done
            .saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
        if self.done > self.limit {
            return Err(self.too_large());
        }
        if self.head.len() < ZIP.len() {
            self.head.extend(chunk.iter().take(ZIP.len()));
        }
        self.file
            .write_all(chunk)
            .await
            .map_err(|error| Fault::Final(unwritable(self.path, &error)))?;
        (self.progress)(Progress::Bytes {
            done: self.done,
            of: self.of,
        });
        Ok(())
    }

    fn too_large(&self) -> Fault {
        Fault::Final(FetchError::TooLarge {
            uri: self.uri.to_owned(),
            limit: self.limit,
        })
    }

    /// Makes sure that it is on the disk, and that a jar is one: many servers answer a page for people with 200.
    async fn finish(mut self, name: &str) -> Result<u64, Fault> {
        let is_jar = Path::new(name)
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("jar"));
        if is_jar && !self.head.starts_with(ZIP) {
            return Err(Fault::Final(FetchError::Refused {
                uri: self.uri.to_owned(),
                reason: format!(
                    "what came ({} bytes) is no jar, since it does not begin like one; does the URI lead to a page for people?",
                    self.done
                ),
            }));
        }
        let written = async {
            self.file.flush().await?;
            self.file.sync_all().await
        };
        written
            .await
            .map_err(|error| Fault::Final(unwritable(self.path, &error)))?;
        Ok(self.done)
    }
}

/// A file that is removed unless it was renamed.
struct Aside(PathBuf);

impl Drop for Aside {
    fn drop(&mut self) {
        // Gone already if it was renamed.
        let _ = std::fs::remove_file(&self.0);
    }
}
