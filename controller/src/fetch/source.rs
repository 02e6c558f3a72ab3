//! What a URI means, and which file name it gives. Nothing is fetched here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use reqwest::Url;

use super::error::FetchError;

/// Whether files of this machine may be read. Not by the controller: a URI is a user's word, and its files are not theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalFiles {
    /// They may.
    Allowed,
    /// They may not.
    Refused,
}

/// Where a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// At a web server.
    Http(Url),
    /// In a bucket.
    S3 {
        /// The bucket.
        bucket: String,
        /// Path in it, without a slash at its beginning.
        key: String,
    },
    /// On this machine.
    File(PathBuf),
}

const EXAMPLES: &str =
    "write https://repo.example/job.jar, s3://bucket/folder/job.jar or file:///folder/job.jar";

impl Source {
    /// What the URI means.
    ///
    /// # Errors
    /// [`FetchError::Uri`] for what cannot be fetched, with an example.
    pub fn parse(uri: &str, local: LocalFiles) -> Result<Self, FetchError> {
        let bad = |reason: String| FetchError::Uri {
            uri: shown(uri),
            reason,
        };
        if uri.starts_with('/') {
            return Self::file(Path::new(uri), local).map_err(bad);
        }
        let url = Url::parse(uri).map_err(|error| bad(format!("{error}; {EXAMPLES}")))?;
        let source = match url.scheme() {
            "http" | "https" => Self::Http(url),
            "s3" | "s3a" | "s3p" => {
                let key = decoded(url.path().trim_start_matches('/')).map_err(bad)?;
                if key.split('/').any(|part| matches!(part, "." | "..")) {
                    return Err(bad("a key with . or .. cannot be asked for".to_owned()));
                }
                Self::S3 {
                    bucket: url.host_str().unwrap_or_default().to_owned(),
                    key,
                }
            }
            "file" | "local" => {
                let path = decoded(url.path()).map_err(bad)?;
                if url.host_str().is_some_and(|host| !host.is_empty()) {
                    return Err(bad(format!("names a host, not a file; {EXAMPLES}")));
                }
                Self::file(Path::new(&path), local).map_err(bad)?
            }
            other => {
                return Err(bad(format!(
                    "the scheme {other} cannot be fetched; {EXAMPLES}"
                )));
            }
        };
        match &source {
            Self::S3 { bucket, key } if bucket.is_empty() || key.is_empty() => {
                Err(bad(format!("names no bucket or no file in it; {EXAMPLES}")))
            }
            _ => source.file_name().map(|_| source.clone()).map_err(bad),
        }
    }

    fn file(path: &Path, local: LocalFiles) -> Result<Self, String> {
        match local {
            LocalFiles::Allowed => Ok(Self::File(path.to_owned())),
            LocalFiles::Refused => Err(
                "is a file of the controller's own machine, which is not read for users; use https:// or s3://, or put the jar \
                 into the session cluster's spec.jars and leave it out here"
                    .to_owned(),
            ),
        }
    }

    /// The name that the file gets.
    ///
    /// # Errors
    /// A text that says why there is none.
    pub fn file_name(&self) -> Result<String, String> {
        let name = match self {
            Self::Http(url) => {
                let last = url.path_segments().and_then(|mut all| all.next_back());
                decoded(last.unwrap_or_default())?
            }
            Self::S3 { key, .. } => key.rsplit('/').next().unwrap_or_default().to_owned(),
            Self::File(path) => path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default()
                .to_owned(),
        };
        let is_name = !name.is_empty()
            && name.len() <= 200
            && !matches!(name.as_str(), "." | "..")
            && !name.contains(|c: char| c == '/' || c == '\\' || c.is_control());
        if is_name {
            Ok(as_jar(name))
        } else {
            Err(format!("ends in no usable file name; {EXAMPLES}"))
        }
    }
}

/// A name without an extension, as `download` of `https://repo.example/download?name=job`, becomes a jar's: Flink looks at no other file.
/// `job-1.20` has none either.
fn as_jar(name: String) -> String {
    let has_one = name.rsplit_once('.').is_some_and(|(_, extension)| {
        extension.starts_with(|first: char| first.is_ascii_alphabetic())
    });
    if has_one { name } else { name + ".jar" }
}

/// A URI as it is told: without user, password and query, which may hold signatures.
pub fn shown(uri: &str) -> String {
    let Ok(mut url) = Url::parse(uri) else {
        // A password with a # or / in it is one reason why it cannot be read.
        let without_user = match uri.rsplit_once('@') {
            Some((before, after)) => {
                let scheme = before.split_once("://").map_or("", |(scheme, _)| scheme);
                format!("{scheme}://…@{after}")
            }
            None => uri.to_owned(),
        };
        return without_user
            .split('?')
            .next()
            .unwrap_or_default()
            .to_owned();
    };
    let _ = url.set_username("");
    let _ = url.set_password(None);
    let had_query = url.query().is_some();
    url.set_query(None);
    url.set_fragment(None);
    format!("{url}{}", if had_query { "?…" } else { "" })
}

/// What is to be fetched, each with its file name. A URI that is given twice is fetched once.
///
/// # Errors
/// [`FetchError::Uri`], and [`FetchError::SameName`] for two URIs that give one file name.
pub fn plan(
    uris: &[String],
    local: LocalFiles,
) -> Result<Vec<(String, Source, String)>, FetchError> {
    let mut names: BTreeMap<String, &String> = BTreeMap::new();
    let mut planned = Vec::new();
    for uri in uris {
        let source = Source::parse(uri, local)?;
        let name = source.file_name().map_err(|reason| FetchError::Uri {
            uri: shown(uri),
            reason,
        })?;
        match names.get(&name) {
            Some(first) if *first == uri => {}
            Some(first) => {
                return Err(FetchError::SameName {
                    name,
                    first: shown(first),
                    second: shown(uri),
                });
            }
            None => {
                names.insert(name.clone(), uri);
                planned.push((uri.clone(), source, name));
            }
        }
    }
    Ok(planned)
}

/// Percent-encoded text as it is meant.
fn decoded(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        let value = digit(rest.next())
            .zip(digit(rest.next()))
            .and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
        bytes
            .push(value.ok_or_else(|| "a % is not followed by two hexadecimal digits".to_owned())?);
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8 where it is percent-encoded".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_is_told_without_its_secrets_even_where_it_cannot_be_read() {
        for (uri, told) in [
            ("https://ci:pass@h/a.jar?sig=x", "https://h/a.jar?…"),
            ("https://ci:p#ss@h/a.jar?sig=x", "https://…@h/a.jar"),
            ("https://ci:p/s?s@h/a.jar", "https://…@h/a.jar"),
            ("h:port/a.jar?sig=x", "h:port/a.jar?…"),
            ("https://h:port/a.jar?sig=x", "https://h:port/a.jar"),
        ] {
            assert_eq!(shown(uri), told);
        }
    }

    /// Flink takes nothing for a jar that is not called one.
    #[test]
    fn what_has_no_extension_gets_a_jars_name() {
        for (uri, name) in [
            ("https://h/assets/download?name=job", "download.jar"),
            ("s3://b/job-1.20", "job-1.20.jar"),
            ("https://h/a.jar", "a.jar"),
            ("https://h/a.JAR", "a.JAR"),
            ("https://h/model.bin", "model.bin"),
        ] {
            let planned = plan(&[uri.to_owned()], LocalFiles::Refused).unwrap();
            assert_eq!(planned[0].2, name);
        }
    }
}
