//! How many files the process may have open: each connection is one.
//!
//! Where the limit that counts is lower than the one up to which it may be raised, it is for programs of old that can count no
//! further; it is raised at the start. Where that is low as well, there are fewer places.

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::io;

/// Raises the limit as far as it goes, and tells of it.
pub fn raise() {
    let Ok((before, most)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return; // then accepting tells
    };
    if before < most
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, most, most)
    {
        tracing::warn!(%error, before, most, "the limit of open files could not be raised");
    }
    tracing::info!(before, now = allowed(), "limit of open files");
}

/// How many places there are of so many that are wanted.
pub fn places(wanted: usize) -> usize {
    within(wanted, allowed())
}

/// Half is left for the watches, the calls of the API server, the port of metrics, and whoever waits to be accepted.
fn within(wanted: usize, allowed: u64) -> usize {
    let half = usize::try_from(allowed / 2).unwrap_or(usize::MAX);
    wanted.min(half).max(1)
}

fn allowed() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(now, _)| now)
}

/// Whether there are too many open files, here or on the whole machine.
pub fn ran_out(error: &io::Error) -> bool {
    let ours = [Errno::EMFILE, Errno::ENFILE].map(|code| code as i32);
    error
        .raw_os_error()
        .is_some_and(|code| ours.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_files_are_places_at_most() {
        for (allowed, places) in [(u64::MAX, 1024), (2048, 1024), (1024, 512), (1, 1)] {
            assert_eq!(within(1024, allowed), places, "{allowed}");
        }
    }

    #[test]
    fn the_limit_is_as_high_as_it_goes() {
        raise();
        let (now, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!(now, most);
    }

    #[test]
    fn too_many_files_are_told_from_other_trouble() {
        let error = |code: Errno| io::Error::from_raw_os_error(code as i32);
        assert!(ran_out(&error(Errno::EMFILE)) && ran_out(&error(Errno::ENFILE)));
        assert!(!ran_out(&error(Errno::ECONNABORTED)));
    }
}
