//! A root file system made from the running one and a difference.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use bedstone_bundle::Member;
use bedstone_delta::base::VerifiedBase;
use bedstone_delta::http::{self, Ranges};
use bedstone_delta::output::{Image, Prefix};
use bedstone_delta::rdiff;
use bedstone_delta::zchunk::{self, Header, Index, Plan};
use bedstone_disk::boot_partition::Medium;
use bedstone_disk::layout::Slot;

use super::source::Running;
use super::{Installation, Job, PIECE, Progress, read};
use crate::error::{Error, Result};

/// The start of a root partition, written in order.
///
/// With `resumes`, what is there is read first, and not written again where it is right: flash wears.
pub(super) struct Target<'a, M> {
    medium: &'a mut M,
    slot: Slot,
    position: u64,
    found: Vec<u8>,
    resumes: bool,
    /// The member that it is made from.
    name: &'a str,
    installation: &'a Installation<'a>,
    progress: &'a mut dyn FnMut(Progress),
    /// Why writing failed.
    failure: Option<Error>,
}

impl<'a, M: Medium> Target<'a, M> {
    pub(super) fn new(
        medium: &'a mut M,
        job: &'a Job<'_>,
        name: &'a str,
        resumes: bool,
        progress: &'a mut dyn FnMut(Progress),
    ) -> Self {
        Self {
            medium,
            slot: job.slot,
            position: 0,
            found: vec![0; if resumes { PIECE } else { 0 }],
            resumes,
            name,
            installation: job.installation,
            progress,
            failure: None,
        }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        if self.installation.interrupt.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        let found = &mut self.found[..if self.resumes { bytes.len() } else { 0 }];
        let same = self.resumes
            && self.medium.read_exact_at(found, self.position).is_ok()
            && found == bytes;
        if !same {
            self.medium
                .write_all_at(bytes, self.position)
                .map_err(Error::io("write", self.slot.root_partition()))?;
        }
        self.position += bytes.len() as u64;
        (self.progress)(Progress::Member {
            name: self.name.to_owned(),
            bytes: self.position,
        });
        Ok(())
    }
}

impl<M: Medium> Write for Target<'_, M> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.len().min(PIECE);
        match self.put(&bytes[..length]) {
            Ok(()) => Ok(length),
            Err(error) => {
                self.failure = Some(error);
                Err(io::Error::other("not written"))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A member's content, whose errors keep their type.
struct Input<'a, C> {
    content: C,
    interrupt: &'a AtomicBool,
    failure: Option<Error>,
}

impl<C: Read> Read for Input<'_, C> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        read(&mut self.content, buffer, self.interrupt).map_err(|error| {
            self.failure = Some(error);
            io::Error::other("not read")
        })
    }
}

impl<'a, C: Read> Input<'a, C> {
    fn new(content: C, interrupt: &'a AtomicBool) -> Self {
        Self {
            content,
            interrupt,
            failure: None,
        }
    }

    /// Reads what is left, so that the member's digest is compared; returns how much that was.
    fn finish(&mut self) -> Result<u64> {
        io::copy(self, &mut io::sink()).map_err(|_| self.failed())
    }

    fn failed(&mut self) -> Error {
        // Without a failure of its own, nothing has been read wrongly.
        self.failure.take().unwrap_or(Error::Interrupted)
    }

    /// The reason why a difference is of no use: that of the bundle when it is damaged, because the rest follows from it.
    fn blame(&mut self, name: &str, error: bedstone_delta::Error) -> Error {
        if let Some(failure) = self.failure.take() {
            return failure;
        }
        if self.interrupt.load(Ordering::Relaxed) {
            return Error::Interrupted;
        }
        match self.finish() {
            Ok(_) => failure(name, error),
            Err(damage) => damage,
        }
    }
}

/// Applies a delta of librsync to the running root file system.
pub(super) fn rdiff<M: Medium + Sync, R: Read>(
    member: Member<'_, R>,
    base: &VerifiedBase<'_, Running<'_, M>>,
    output: &Image,
    mut target: Target<'_, M>,
) -> Result<()> {
    let installation = target.installation;
    let content = member.content(installation.key)?;
    let mut input = Input::new(content, installation.interrupt);
    match rdiff::apply(base, &mut input, output, Prefix::none(), &mut target) {
        Ok(()) => input.finish().map(drop),
        Err(error) => match target.failure.take() {
            Some(failure) => Err(failure),
            None => Err(input.blame(target.name, error)),
        },
    }
}

/// Takes the chunks that the running root file system has from there and the others from a server.
///
/// With `resumes`, those that an interrupted run has written are neither fetched nor written again.
pub(super) fn zchunk<M: Medium + Sync, R: Read>(
    member: Member<'_, R>,
    running: &Running<'_, M>,
    url: &str,
    output: &Image,
    mut target: Target<'_, M>,
) -> Result<()> {
    let installation = target.installation;
    let name = target.name;
    let content = member.content(installation.key)?;
    let mut input = Input::new(content, installation.interrupt);
    let header = match Header::read(&mut input) {
        Ok(header) => header,
        Err(error) => return Err(input.blame(name, error)),
    };
    if input.finish()? > 0 {
        let error = bedstone_delta::Error::Malformed {
            format: "zchunk header",
            offset: header.length(),
            field: "end",
            reason: "is followed by something".to_owned(),
        };
        return Err(failure(name, error));
    }
    let made = assemble(&header, running, url, output, &mut target);
    let failed = target.failure.take();
    made.map_err(|error| match failed {
        Some(failure) => failure,
        None if installation.interrupt.load(Ordering::Relaxed) => Error::Interrupted,
        None => failure(name, error),
    })
}

fn assemble<M: Medium + Sync>(
    header: &Header,
    running: &Running<'_, M>,
    url: &str,
    output: &Image,
    target: &mut Target<'_, M>,
) -> bedstone_delta::Result<()> {
    let prefix = if target.resumes {
        let written = Running::new(&*target.medium, target.installation.interrupt);
        zchunk::read_back(header, &written)?
    } else {
        Prefix::none()
    };
    let plan = {
        // How much of the partition is in use is not known; what lies behind costs time and does no harm.
        let index = Index::of(running, u64::MAX, header.checksum())?;
        Plan::new(header, &index)
    };
    let ranges = plan.ranges(header, prefix.length());
    let mut server = Ranges::new(http::client(), url, ranges, http::Options::default());
    target.position = prefix.length();
    let body = Some(&mut server as &mut dyn zchunk::Body);
    zchunk::apply(header, &plan, running, body, output, prefix, target)
}

/// What becomes of a difference that is of no use.
pub(super) fn failure(member: &str, source: bedstone_delta::Error) -> Error {
    let member = member.to_owned();
    match source {
        bedstone_delta::Error::WrongBase { .. } => Error::WrongBase { member, source },
        source => Error::Delta { member, source },
    }
}
