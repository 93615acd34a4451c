//! What the root file system is made from.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};

use bedstone_bundle::Member;
use bedstone_bundle::layout::{self, Root};
use bedstone_delta::base::{Base, VerifiedBase};
use bedstone_delta::output::Image;
use bedstone_disk::boot_partition::Medium;
use bedstone_disk::storage::ReadAt;
use bedstone_disk::verity::RootArguments;
use bedstone_store::Digest;

use super::{Job, Progress, chain, delta, root};
use crate::error::{Error, Result};

/// A root partition as a difference sees it; reading ends when the user asks to stop.
#[derive(Debug)]
pub(super) struct Running<'a, M> {
    medium: &'a M,
    interrupt: &'a AtomicBool,
}

impl<'a, M> Running<'a, M> {
    pub(super) fn new(medium: &'a M, interrupt: &'a AtomicBool) -> Self {
        Self { medium, interrupt }
    }
}

impl<M: ReadAt + Sync> Base for Running<'_, M> {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        if self.interrupt.load(Ordering::Relaxed) {
            return Err(io::Error::other("interrupted"));
        }
        self.medium.read_exact_at(buffer, offset)
    }

    fn size(&self) -> io::Result<u64> {
        self.medium.size()
    }
}

/// What is made of which member.
pub(super) struct Source<'a, M> {
    member: &'a str,
    way: Way<'a, M>,
    /// The member to take when that fails.
    full: Option<&'a str>,
}

enum Way<'a, M> {
    Whole,
    Rdiff(VerifiedBase<'a, Running<'a, M>>, Image),
    Zchunk(&'a Running<'a, M>, &'a str, Image),
}

impl<'a, M: Medium + Send + Sync> Source<'a, M> {
    /// Finds out whether the running root file system is the one that a difference is for. Nothing has been written then.
    ///
    /// `room` is the size of the partition that is written, and its name.
    pub(super) fn choose(
        root: &'a Root,
        running: &'a Running<'a, M>,
        room: (u64, &str),
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self> {
        let (member, delta, full) = match root {
            Root::Full(member) => return Ok(Self::whole(member)),
            Root::Delta {
                member,
                delta,
                full,
            } => (member, delta, full.as_deref()),
        };
        let output = image(delta.output());
        let (limit, partition) = room;
        if output.length > limit {
            return Err(Error::TooLarge {
                member: member.clone(),
                limit,
                place: format!("partition `{partition}`"),
            });
        }
        let chosen = |way| Self { member, way, full };
        let base = match delta {
            layout::Delta::Zchunk { url, .. } => {
                return Ok(chosen(Way::Zchunk(running, url, output)));
            }
            layout::Delta::Rdiff { base, .. } => image(*base),
        };
        progress(Progress::CheckingBase);
        let checked = VerifiedBase::check(running, base);
        if running.interrupt.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        match checked {
            Ok(base) => Ok(chosen(Way::Rdiff(base, output))),
            Err(source) => {
                let error = delta::failure(member, source);
                match full {
                    Some(full) => Ok(Self::whole_because(full, &error, progress)),
                    None => Err(error),
                }
            }
        }
    }

    fn whole(member: &'a str) -> Self {
        Self {
            member,
            way: Way::Whole,
            full: None,
        }
    }

    fn whole_because(member: &'a str, error: &Error, progress: &mut dyn FnMut(Progress)) -> Self {
        progress(Progress::TakingWhole {
            code: error.code().to_owned(),
            reason: chain(error),
        });
        Self::whole(member)
    }

    /// The member that is needed.
    pub(super) fn member(&self) -> &str {
        self.member
    }

    /// Writes the root file system to the start of a slot's root partition. With `arguments`, returns the hashes of the leaves
    /// that were read back on the way, if any were.
    pub(super) fn write<R: Read>(
        &self,
        member: Member<'_, R>,
        target: &mut M,
        job: &Job<'_>,
        resumes: bool,
        arguments: Option<&RootArguments>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Vec<Digest>> {
        match &self.way {
            Way::Whole => return root::write(member, target, job, resumes, arguments, progress),
            Way::Rdiff(base, output) => {
                let target = delta::Target::new(target, job, self.member, resumes, progress);
                delta::rdiff(member, base, output, target)?;
            }
            Way::Zchunk(running, url, output) => {
                let target = delta::Target::new(target, job, self.member, resumes, progress);
                delta::zchunk(member, running, url, output, target)?;
            }
        }
        Ok(Vec::new())
    }

    /// What to take after a difference has failed, if there is anything.
    pub(super) fn instead(
        &self,
        error: &Error,
        progress: &mut dyn FnMut(Progress),
    ) -> Option<Self> {
        match (error, self.full) {
            (Error::Delta { .. }, Some(full)) => Some(Self::whole_because(full, error, progress)),
            _ => None,
        }
    }
}

fn image(image: layout::Image) -> Image {
    Image {
        length: image.size,
        digest: image.sha256,
    }
}
