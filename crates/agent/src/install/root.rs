use std::io::Read;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ScopedJoinHandle};

use bedstone_bundle::{Content, Member};
use bedstone_disk::boot_partition::Medium;
use bedstone_disk::storage::Aligned;
use bedstone_disk::verity::{Leaves, RootArguments};
use bedstone_store::Digest;

use super::{Installation, Job, PIECE, Progress, read};
use crate::error::{Error, Result};

/// Pieces that travel between the thread that reads and the one that writes.
const PIECES: usize = 4;
/// Bytes after which what was written is flushed, to be read back.
const STRETCH: u64 = 16 << 20;

/// A piece of the content.
struct Piece {
    buffer: Aligned,
    length: usize,
    offset: u64,
}

/// A slot's root partition, shared by the thread that writes and the one that reads back.
struct Target<'a, M> {
    medium: Mutex<&'a mut M>,
    partition: &'static str,
}

/// Writes a member's content to the start of a slot's root partition.
///
/// A second thread writes, so that hashing and decompressing do not wait for the disk. With `resumes`, what is there is read
/// first, and not written again where it is right: flash wears. With `arguments`, which are known when the kernel image came
/// first, a third thread reads back what was flushed; the hashes of its leaves are returned for
/// [`bedstone_disk::verity::verify_rest`].
pub(super) fn write<M: Medium + Send, R: Read>(
    member: Member<'_, R>,
    medium: &mut M,
    job: &Job<'_>,
    resumes: bool,
    arguments: Option<&RootArguments>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<Digest>> {
    let installation = job.installation;
    let name = member.name.clone();
    let partition = job.slot.root_partition();
    let limit = medium.size().map_err(Error::io("measure", partition))?;
    let leaves = arguments.map(|arguments| Leaves::new(&arguments.superblock()));
    let leaves = leaves.transpose()?;
    let mut content = member.content(installation.key)?;
    let target = &Target {
        medium: Mutex::new(medium),
        partition,
    };
    let (full, pieces) = sync_channel(PIECES);
    let (written, empty) = sync_channel(PIECES);
    let (settled, stretches) = channel();
    thread::scope(|scope| {
        let settled = leaves.is_some().then_some(settled);
        let checking =
            leaves.map(|leaves| scope.spawn(move || target.read_back(&leaves, &stretches)));
        let writing = scope.spawn(move || target.write(&pieces, &written, resumes, settled));
        let place = format!("partition `{partition}`");
        let outcome = fill(&mut content, &empty, &full, installation, |bytes| {
            if bytes > limit {
                return Err(Error::TooLarge {
                    member: name.clone(),
                    limit,
                    place: place.clone(),
                });
            }
            progress(Progress::Member {
                name: name.clone(),
                bytes,
            });
            Ok(())
        });
        drop(full);
        let written = join(writing);
        let checked = checking.map_or(Ok(Vec::new()), join);
        written.and(outcome).and(checked)
    })
}

/// Reads the content into pieces and hands them on. `accept` is told how many bytes it has come to, before they are.
fn fill<R: Read>(
    content: &mut Content<'_, R>,
    empty: &Receiver<Aligned>,
    full: &SyncSender<Piece>,
    installation: &Installation<'_>,
    mut accept: impl FnMut(u64) -> Result<()>,
) -> Result<()> {
    let mut made = 0;
    let mut offset = 0;
    loop {
        let mut buffer = match empty.try_recv() {
            Ok(buffer) => buffer,
            Err(_) if made < PIECES => {
                made += 1;
                Aligned::new(PIECE)
            }
            // The writer has ended early; it says why.
            Err(_) => match empty.recv() {
                Ok(buffer) => buffer,
                Err(_) => return Ok(()),
            },
        };
        let mut length = 0;
        while length < PIECE {
            match read(content, &mut buffer[length..], installation.interrupt)? {
                0 => break,
                more => length += more,
            }
        }
        if length == 0 {
            return Ok(());
        }
        let end = offset + length as u64;
        accept(end)?;
        let piece = Piece {
            buffer,
            length,
            offset,
        };
        if full.send(piece).is_err() {
            return Ok(());
        }
        offset = end;
    }
}

impl<'a, M: Medium> Target<'a, M> {
    /// Writes the pieces and gives their buffers back. Flushes now and then, and tells up to where.
    fn write(
        &self,
        pieces: &Receiver<Piece>,
        written: &SyncSender<Aligned>,
        resumes: bool,
        settled: Option<Sender<u64>>,
    ) -> Result<()> {
        let mut found = resumes.then(|| Aligned::new(PIECE));
        let (mut start, mut end) = (0, 0);
        for piece in pieces {
            let bytes = &piece.buffer[..piece.length];
            let same = found.as_mut().is_some_and(|found| {
                let found = &mut found[..piece.length];
                self.medium().read_exact_at(found, piece.offset).is_ok() && found == bytes
            });
            if !same {
                self.medium()
                    .write_all_at(bytes, piece.offset)
                    .map_err(Error::io("write", self.partition))?;
            }
            end = piece.offset + piece.length as u64;
            // Nobody waits for the last ones.
            let _ = written.send(piece.buffer);
            if let Some(settled) = &settled
                && end - start >= STRETCH
            {
                self.settle(settled, end)?;
                start = end;
            }
        }
        settled.map_or(Ok(()), |settled| self.settle(&settled, end))
    }

    fn settle(&self, settled: &Sender<u64>, end: u64) -> Result<()> {
        self.medium()
            .settle()
            .map_err(Error::io("flush", self.partition))?;
        // A reader that has ended early says why.
        let _ = settled.send(end);
        Ok(())
    }

    /// Reads back what was flushed and hashes it.
    fn read_back(&self, leaves: &Leaves, stretches: &Receiver<u64>) -> Result<Vec<Digest>> {
        let mut buffer = Aligned::new(leaves.data());
        let size = buffer.len() as u64;
        let mut hashes = Vec::new();
        let mut done = 0;
        for end in stretches {
            while done + size <= end && (hashes.len() as u64) < leaves.whole() {
                self.medium()
                    .read_exact_at(&mut buffer, done)
                    .map_err(Error::io("read", self.partition))?;
                hashes.push(leaves.hash(&buffer));
                done += size;
            }
        }
        Ok(hashes)
    }

    fn medium(&self) -> MutexGuard<'_, &'a mut M> {
        self.medium.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn join<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    match thread.join() {
        Ok(outcome) => outcome,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}
