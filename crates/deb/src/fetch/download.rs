//! Files whose digest is known beforehand, into the store.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use bedstone_event::Span;
use bedstone_store::Digest;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::Fetcher;
use super::transport::{Answer, Failure, Validators};
use crate::error::{Error, Result};

/// A file to fetch.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) digest: Digest,
    /// Length in bytes.
    pub(super) size: u64,
    /// Where it may be, in the order in which to try.
    pub(super) addresses: Vec<String>,
}

/// What [`Fetcher::small`] found.
pub(super) enum Small {
    Content(Vec<u8>, Validators),
    NotModified,
    NotFound,
}

/// Reports progress of one file, counting no byte twice when it is fetched again from the start.
struct Progress<'a> {
    span: &'a Span,
    reported: u64,
}

impl Progress<'_> {
    fn reach(&mut self, length: u64) {
        if length > self.reported {
            self.span.advance(length - self.reported);
            self.reported = length;
        }
    }
}

impl Fetcher<'_> {
    /// Brings a file into the store unless it is there. An interrupted download is continued by the next call, also
    /// that of another process.
    ///
    /// The digest takes the place of `If-Range`: a continued download of a file that has changed meanwhile does not
    /// have it, and is fetched again from its start.
    pub(super) fn fetch(&self, wanted: &Wanted, span: &Span) -> Result<()> {
        let mut progress = Progress { span, reported: 0 };
        if self.store.contains(&wanted.digest) {
            progress.reach(wanted.size);
            return Ok(());
        }
        if self.options.offline {
            return Err(Error::Offline {
                what: wanted.addresses.first().cloned().unwrap_or_default(),
            });
        }
        let mut first_error = None;
        for address in &wanted.addresses {
            let result = self.retry(|| self.fetch_from(address, wanted, &mut progress));
            let error = match result {
                Ok(()) => return Ok(()),
                Err(Failure::Fatal(
                    error @ (Error::WrongContent { .. } | Error::WrongSize { .. }),
                )) => error,
                Err(Failure::Fatal(error)) => return Err(error),
                Err(Failure::NotFound) => Error::NotFound {
                    address: address.clone(),
                },
                Err(Failure::Transient(reason) | Failure::Permanent(reason)) => Error::Network {
                    address: address.clone(),
                    reason,
                },
            };
            // "Not found" says least: any other error explains more.
            match first_error {
                None | Some(Error::NotFound { .. }) => first_error = Some(error),
                Some(_) => {}
            }
        }
        Err(first_error.unwrap_or_else(|| Error::NotFound {
            address: wanted.digest.to_string(),
        }))
    }

    /// Fetches a small file whose digest is not known.
    pub(super) fn small(&self, address: &str, known: Option<&Validators>) -> Result<Small> {
        const LIMIT: u64 = 32 << 20;
        let result = self.retry(|| match self.transport.get(address, 0, known)? {
            Answer::NotModified => Ok(Small::NotModified),
            Answer::Content {
                reader,
                total,
                validators,
                ..
            } => {
                let mut bytes = Vec::new();
                reader
                    .take(LIMIT + 1)
                    .read_to_end(&mut bytes)
                    .map_err(|error| Failure::Transient(error.to_string()))?;
                if bytes.len() as u64 > LIMIT {
                    return Err(Failure::Permanent(format!("longer than {LIMIT} bytes")));
                }
                if total.is_some_and(|total| total != bytes.len() as u64) {
                    return Err(Failure::Transient("the answer ended early".to_owned()));
                }
                Ok(Small::Content(bytes, validators))
            }
        });
        let network = |reason| Error::Network {
            address: address.to_owned(),
            reason,
        };
        match result {
            Ok(small) => Ok(small),
            Err(Failure::NotFound) => Ok(Small::NotFound),
            Err(Failure::Transient(reason) | Failure::Permanent(reason)) => Err(network(reason)),
            Err(Failure::Fatal(error)) => Err(error),
        }
    }

    /// Repeats what failed transiently, waiting longer each time.
    fn retry<T>(&self, mut attempt: impl FnMut() -> Result<T, Failure>) -> Result<T, Failure> {
        let mut pause = self.options.pause;
        let mut left = self.options.attempts.max(1);
        loop {
            self.check_interrupt().map_err(Failure::Fatal)?;
            left -= 1;
            match attempt() {
                Err(Failure::Transient(_)) if left > 0 => self.wait(pause)?,
                result => return result,
            }
            pause = pause.saturating_mul(2);
        }
    }

    fn wait(&self, pause: Duration) -> Result<(), Failure> {
        let end = Instant::now() + pause;
        while Instant::now() < end {
            self.check_interrupt().map_err(Failure::Fatal)?;
            thread::sleep(Duration::from_millis(20).min(pause));
        }
        Ok(())
    }

    fn fetch_from(
        &self,
        address: &str,
        wanted: &Wanted,
        progress: &mut Progress<'_>,
    ) -> Result<(), Failure> {
        let path = self.store.partial(&wanted.digest);
        let Some(mut file) = self.open_partial(wanted)? else {
            progress.reach(wanted.size);
            return Ok(());
        };
        let fatal = |action| {
            let path = path.clone();
            move |error: io::Error| Failure::Fatal(write_error(action, &path, error))
        };
        let mut length = file.metadata().map_err(fatal("inspect"))?.len();
        if length > wanted.size {
            file.set_len(0).map_err(fatal("shorten"))?;
            length = 0;
        }
        let continued = length > 0;
        if length < wanted.size {
            let received = self.receive(address, wanted, &mut file, length, progress);
            if let Err(Failure::Fatal(Error::DiskFull { .. } | Error::WrongSize { .. })) = &received
            {
                // Frees the space, or a start that no continuation can mend.
                fs::remove_file(&path).map_err(fatal("remove"))?;
            }
            received?;
        }
        match self.store.adopt_partial(&wanted.digest, address) {
            Ok(()) => Ok(()),
            // The old part may have been another version of the file, or of another address.
            Err(bedstone_store::Error::Mismatch { .. }) if continued => {
                self.fetch_from(address, wanted, progress)
            }
            Err(bedstone_store::Error::Mismatch {
                expected, actual, ..
            }) => Err(Failure::Fatal(Error::WrongContent {
                address: address.to_owned(),
                expected,
                actual,
            })),
            Err(error) => Err(Failure::Fatal(error.into())),
        }
    }

    /// Opens the file that collects the download, to be written by nobody else; `None` when somebody else finished it.
    fn open_partial(&self, wanted: &Wanted) -> Result<Option<File>, Failure> {
        let path = self.store.partial(&wanted.digest);
        let fatal = |error: io::Error| Failure::Fatal(write_error("open", &path, error));
        loop {
            let file = OpenOptions::new()
                .append(true)
                .read(true)
                .create(true)
                .open(&path)
                .map_err(fatal)?;
            loop {
                match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                    Ok(()) => break,
                    Err(Errno::WOULDBLOCK) => self.wait(Duration::from_millis(100))?,
                    Err(Errno::INTR) => {}
                    Err(error) => return Err(fatal(error.into())),
                }
            }
            if self.store.contains(&wanted.digest) {
                return Ok(None);
            }
            // The last holder may have removed the file, or made it an object that was removed since.
            let inode = file.metadata().map_err(fatal)?.ino();
            if fs::metadata(&path).is_ok_and(|it| it.ino() == inode) {
                return Ok(Some(file));
            }
        }
    }

    fn receive(
        &self,
        address: &str,
        wanted: &Wanted,
        file: &mut File,
        length: u64,
        progress: &mut Progress<'_>,
    ) -> Result<(), Failure> {
        let path = self.store.partial(&wanted.digest);
        let wrong_size = |actual| {
            Failure::Fatal(Error::WrongSize {
                address: address.to_owned(),
                expected: wanted.size,
                actual,
            })
        };
        let answer = match self.transport.get(address, length, None) {
            // The server cannot continue from there; ask for everything.
            Err(Failure::Permanent(_)) if length > 0 => self.transport.get(address, 0, None)?,
            answer => answer?,
        };
        let Answer::Content {
            mut reader,
            offset,
            total,
            ..
        } = answer
        else {
            return Err(Failure::Permanent(
                "answered that nothing changed".to_owned(),
            ));
        };
        if let Some(total) = total
            && total != wanted.size
        {
            return Err(wrong_size(total));
        }
        if offset < length {
            file.set_len(offset)
                .map_err(|error| Failure::Fatal(write_error("shorten", &path, error)))?;
        }
        let mut length = offset;
        progress.reach(length);
        let mut buffer = vec![0; 1 << 16];
        loop {
            self.check_interrupt().map_err(Failure::Fatal)?;
            let count = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(Failure::Transient(error.to_string())),
            };
            length += count as u64;
            if length > wanted.size {
                return Err(wrong_size(length));
            }
            file.write_all(&buffer[..count])
                .map_err(|error| Failure::Fatal(write_error("write", &path, error)))?;
            progress.reach(length);
        }
        if length < wanted.size {
            return Err(Failure::Transient(format!(
                "the connection ended after {length} of {} bytes",
                wanted.size
            )));
        }
        Ok(())
    }
}

fn write_error(action: &'static str, path: &Path, error: io::Error) -> Error {
    let error = bedstone_store::Error::io(action, path)(error);
    if error.is_disk_full() {
        return Error::DiskFull {
            path: path.to_path_buf(),
        };
    }
    error.into()
}
