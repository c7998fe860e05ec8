//! Walks a segment file entry by entry, and tells a torn tail from damage. It changes
//! nothing.

use std::{io, sync::Arc};

use super::{
    MediumFile,
    format::{Body, Decoded, MAGIC, PREFIX, SEGMENT_HEADER, Stored, decode},
};

const CHUNK: usize = 256 * 1024;

/// Reads entries in order from a stretch of a file.
#[derive(Debug)]
pub(crate) struct Walk {
    file: Arc<dyn MediumFile>,
    buffer: Vec<u8>,
    /// Where in `buffer` the next entry begins, and where in the file that is.
    at: usize,
    offset: u64,
    end: u64,
}

/// What a walk meets.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "one at a time, on the stack")]
pub(crate) enum Step {
    Entry(u64, Stored),
    /// The file ends here, cleanly.
    End,
    /// What begins at this offset is no whole entry.
    Bad(u64, &'static str),
    /// An intact entry that this version cannot read.
    Strange(u64),
}

/// Why a segment was not walked to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WalkError {
    #[error("{file} is damaged at byte {offset}: {what}")]
    Damaged { file: String, offset: u64, what: &'static str },
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the log is being closed")]
    Closing,
}

/// What is said of [`Step::Strange`].
pub(crate) const STRANGE: &str = "an intact entry that this version of Eventwall cannot read";

impl Walk {
    pub(crate) fn new(file: Arc<dyn MediumFile>, start: u64, end: u64) -> Self {
        Self { file, buffer: Vec::new(), at: 0, offset: start, end }
    }

    pub(crate) fn next(&mut self) -> io::Result<Step> {
        loop {
            match decode(&self.buffer[self.at..]) {
                Decoded::Entry(stored) => {
                    let offset = self.offset;
                    self.at += stored.len;
                    self.offset += stored.len as u64;
                    return Ok(Step::Entry(offset, stored));
                }
                Decoded::Bad(what) => return Ok(Step::Bad(self.offset, what)),
                Decoded::Strange => return Ok(Step::Strange(self.offset)),
                Decoded::Incomplete(_) if self.offset == self.end => return Ok(Step::End),
                Decoded::Incomplete(len) if self.offset + len as u64 > self.end => {
                    return Ok(Step::Bad(self.offset, "the file ends in the middle of an entry"));
                }
                Decoded::Incomplete(len) => self.fill(len)?,
            }
        }
    }

    /// Where in the file the next entry begins.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Reads on until `len` bytes of the next entry are there.
    fn fill(&mut self, len: usize) -> io::Result<()> {
        self.buffer.drain(..self.at);
        self.at = 0;
        let have = self.buffer.len();
        let left = usize::try_from(self.end - self.offset).unwrap_or(usize::MAX);
        self.buffer.resize(len.max(CHUNK).min(left), 0);
        let read = self.file.read_at(&mut self.buffer[have..], self.offset + have as u64)?;
        if have + read < len {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a log file shrank"));
        }
        self.buffer.truncate(have + read);
        Ok(())
    }
}

/// Whether the byte at `offset` had been synced, as a later entry proves: then what is
/// wrong there is damage, and no write that a crash cut short.
pub(crate) fn was_synced(file: &dyn MediumFile, offset: u64, end: u64) -> io::Result<bool> {
    let mut from = offset + 1;
    let mut window = vec![0; CHUNK * 4];
    while from < end {
        let read = file.read_at(&mut window, from)?;
        let bytes = &window[..read];
        for at in memchr::memmem::find_iter(bytes, &MAGIC) {
            if let Some(unsynced) = intact_head(file, from + at as u64, end)?
                && (from + at as u64).saturating_sub(u64::from(unsynced)) > offset
            {
                return Ok(true);
            }
        }
        if read < window.len() {
            break;
        }
        from += (read - MAGIC.len()) as u64;
    }
    Ok(false)
}

/// Whether a whole and intact entry begins at `offset`.
pub(crate) fn is_intact(file: &dyn MediumFile, offset: u64, end: u64) -> io::Result<bool> {
    Ok(intact_head(file, offset, end)?.is_some())
}

/// The `unsynced` of the entry at `offset`, if there is an intact one.
fn intact_head(file: &dyn MediumFile, offset: u64, end: u64) -> io::Result<Option<u32>> {
    let mut bytes = vec![0; PREFIX];
    loop {
        let read = file.read_at(&mut bytes, offset)?;
        match decode(&bytes[..read]) {
            Decoded::Entry(stored) if !matches!(stored.body, Body::Blank(_)) => {
                return Ok(Some(stored.unsynced));
            }
            Decoded::Incomplete(len) if len > read && read == bytes.len() => {
                if offset + len as u64 > end {
                    return Ok(None);
                }
                bytes.resize(len, 0);
            }
            _ => return Ok(None),
        }
    }
}

/// Reads a segment's first bytes.
pub(crate) fn read_header(file: &dyn MediumFile) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; SEGMENT_HEADER];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}
