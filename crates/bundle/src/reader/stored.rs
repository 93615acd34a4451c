use std::io::{self, ErrorKind, Read};

use bedstone_disk::cpio;
use bedstone_store::{Digest, Hasher};

use crate::error::Error;

/// A member's bytes as they are stored, hashed while they pass.
///
/// The end is given (`Ok(0)`) only when the digest is right; otherwise that read fails, and every one after it. The error is
/// taken out by [`Error::from_read`].
#[derive(Debug)]
pub struct Stored<'a, R> {
    archive: &'a mut cpio::Reader<R>,
    name: String,
    expected: Option<Digest>,
    state: State,
}

#[derive(Debug)]
enum State {
    Reading(Box<Hasher>),
    Verified,
    Failed,
}

impl<'a, R: Read> Stored<'a, R> {
    pub(super) fn new(
        archive: &'a mut cpio::Reader<R>,
        name: String,
        expected: Option<Digest>,
    ) -> Self {
        Self {
            archive,
            name,
            expected,
            state: State::Reading(Box::default()),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Reads to the end; fails unless the digest is right.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        io::copy(self, &mut io::sink()).map(drop)
    }

    /// Compares the digest of all that passed.
    fn judge(&mut self) -> io::Result<()> {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Reading(hasher) => {
                let actual = hasher.finish();
                match self.expected {
                    Some(expected) if expected == actual => {
                        self.state = State::Verified;
                        Ok(())
                    }
                    expected => Err(Error::Digest {
                        member: self.name.clone(),
                        expected: expected.unwrap_or(Digest::from_bytes([0; 32])),
                        actual,
                    }
                    .into()),
                }
            }
            State::Verified => {
                self.state = State::Verified;
                Ok(())
            }
            State::Failed => Err(io::Error::other("an earlier read of the member failed")),
        }
    }
}

impl<R: Read> Read for Stored<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let State::Reading(hasher) = &mut self.state else {
            return self.judge().map(|()| 0);
        };
        match self.archive.read(buffer) {
            Ok(0) if !buffer.is_empty() => self.judge().map(|()| 0),
            Ok(length) => {
                hasher.update(&buffer[..length]);
                Ok(length)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Err(error),
            Err(error) => {
                self.state = State::Failed;
                Err(failure(error, &self.name).map_or_else(|error| error, io::Error::from))
            }
        }
    }
}

/// What a failed read of a member of the archive means; the error itself when it is the input's.
pub(super) fn failure(error: io::Error, member: &str) -> Result<Error, io::Error> {
    match error.kind() {
        ErrorKind::UnexpectedEof => Ok(Error::Truncated {
            place: format!("member `{member}`"),
        }),
        // The archive's own, which has no error of the system inside.
        ErrorKind::InvalidData => Ok(Error::Checksum {
            member: member.to_owned(),
        }),
        _ => Err(error),
    }
}
