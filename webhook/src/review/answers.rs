//! Memory for answers until they are taken, shared by all connections. A client that opens no window has hundreds of them kept, each as
//! long as what it sent to be echoed.
//!
//! Nobody waits for it, so nobody who holds anything else can wait for ever: a long answer that finds no room gives way to a short one.

use super::room::{Full, PIECE};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Up to this many bytes an answer takes hardly more than the stream that it goes out on. Most are shorter.
pub const SHORT: usize = 4 << 10;

/// For all longer ones together: more than a thousand with patches of ten kilobytes.
const ROOM: usize = 16 << 20;

/// Memory that answers share.
#[derive(Debug)]
pub struct Answers {
    free: Arc<Semaphore>,
}

/// What an answer has taken. Given back when dropped.
#[derive(Debug, Default)]
pub struct Kept {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            free: Arc::new(Semaphore::new(ROOM / PIECE)),
        }
    }
}

impl Answers {
    /// For an answer of this length.
    pub fn keep(&self, length: usize) -> Result<Kept, Full> {
        if length <= SHORT {
            return Ok(Kept::default());
        }
        let pieces = u32::try_from(length.div_ceil(PIECE)).map_err(|_| Full)?;
        let permit = Arc::clone(&self.free).try_acquire_many_owned(pieces);
        Ok(Kept {
            _permit: Some(permit.map_err(|_| Full)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_answers_have_so_much_room_and_short_ones_need_none() {
        let answers = Answers::default();
        let all = answers.keep(ROOM).unwrap();
        assert_eq!(answers.keep(SHORT + 1).unwrap_err(), Full);
        assert!(answers.keep(SHORT).is_ok());
        drop(all);
        assert!(answers.keep(SHORT + 1).is_ok());
        assert_eq!(answers.keep(usize::MAX).unwrap_err(), Full);
    }
}
