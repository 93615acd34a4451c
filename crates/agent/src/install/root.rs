use std::io::Read;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, ScopedJoinHandle};

use bedstone_bundle::{Content, Member};
use bedstone_disk::boot_partition::Medium;
use bedstone_disk::storage::{Aligned, ReadAt};
use bedstone_disk::verity::{Leaves, RootArguments};
use bedstone_store::Digest;

use super::{Installation, Job, Progress, read};
use crate::error::{Error, Result};

/// Bytes that are written at a time.
const PIECE: usize = 512 << 10;
/// Pieces that travel between the thread that reads and the one that writes.
const PIECES: usize = 4;
/// Threads that read back: one hashes while the other waits for the medium.
const READERS: usize = 2;
/// Bytes after which what was written is flushed, to be read back.
const STRETCH: u64 = 16 << 20;

/// A piece of the content.
struct Piece {
    buffer: Aligned,
    length: usize,
    offset: u64,
}

/// Writes a member's content to the start of a slot's root partition.
///
/// A second thread writes, so that hashing and decompressing do not wait for the disk. With `resumes`, what is there is read
/// first, and not written again where it is right: flash wears. With `arguments`, which are known when the kernel image came
/// first, two more threads read back what was flushed, if the medium has a [reader](Medium::reader); the hashes of its leaves
/// are returned for [`bedstone_disk::verity::verify_rest`].
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
    // Where the data are hashed as they are read back: by whom, and how.
    let mut readers = Vec::new();
    if let Some(arguments) = arguments {
        for _ in 0..READERS {
            let reader = medium.reader().map_err(Error::io("open", partition))?;
            let leaves = Leaves::new(&arguments.superblock())?;
            readers.extend(reader.map(|reader| (reader, leaves)));
        }
    }
    let step = readers.len().max(1);
    let mut content = member.content(installation.key)?;
    let (full, pieces) = sync_channel(PIECES);
    let (written, empty) = sync_channel(PIECES);
    thread::scope(|scope| {
        let mut settled = Vec::new();
        let mut checking = Vec::new();
        for ((reader, leaves), first) in readers.into_iter().zip(0..) {
            let (sender, stretches) = channel();
            settled.push(sender);
            checking.push(scope.spawn(move || {
                let own = (first..leaves.whole()).step_by(step);
                hash(&*reader, &leaves, own, &stretches, partition)
            }));
        }
        let writing =
            scope.spawn(move || store(medium, &pieces, &written, resumes, &settled, partition));
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
        join(writing).and(outcome)?;
        let hashes: Vec<_> = checking.into_iter().map(join).collect::<Result<_>>()?;
        // In the order of the disk again.
        let in_turn = (0..).map_while(|leaf: usize| {
            let own: &Vec<_> = hashes.get(leaf % step)?;
            own.get(leaf / step).copied()
        });
        Ok(in_turn.collect())
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

/// Writes the pieces and gives their buffers back. Flushes now and then, and tells up to where.
fn store(
    medium: &mut impl Medium,
    pieces: &Receiver<Piece>,
    written: &SyncSender<Aligned>,
    resumes: bool,
    settled: &[Sender<u64>],
    partition: &'static str,
) -> Result<()> {
    let mut found = resumes.then(|| Aligned::new(PIECE));
    let (mut flushed, mut end) = (0, 0);
    for piece in pieces {
        let bytes = &piece.buffer[..piece.length];
        let same = found.as_mut().is_some_and(|found| {
            let found = &mut found[..piece.length];
            medium.read_exact_at(found, piece.offset).is_ok() && found == bytes
        });
        if !same {
            medium
                .write_all_at(bytes, piece.offset)
                .map_err(Error::io("write", partition))?;
        }
        end = piece.offset + piece.length as u64;
        // Nobody waits for the last ones.
        let _ = written.send(piece.buffer);
        if !settled.is_empty() && end - flushed >= STRETCH {
            settle(medium, settled, end, partition)?;
            flushed = end;
        }
    }
    settle(medium, settled, end, partition)
}

fn settle(
    medium: &mut impl Medium,
    settled: &[Sender<u64>],
    end: u64,
    partition: &'static str,
) -> Result<()> {
    medium.settle().map_err(Error::io("flush", partition))?;
    for settled in settled {
        // A reader that has ended early says why.
        let _ = settled.send(end);
    }
    Ok(())
}

/// Reads back some of the leaves once they are flushed, and hashes them.
fn hash(
    medium: &dyn ReadAt,
    leaves: &Leaves,
    own: impl Iterator<Item = u64>,
    stretches: &Receiver<u64>,
    partition: &'static str,
) -> Result<Vec<Digest>> {
    let mut buffer = Aligned::new(leaves.data());
    let size = buffer.len() as u64;
    let mut flushed = 0;
    let mut hashes = Vec::new();
    for leaf in own {
        while flushed < (leaf + 1) * size {
            match stretches.recv() {
                Ok(end) => flushed = end,
                // The content ended before the data that the kernel image announces.
                Err(_) => return Ok(hashes),
            }
        }
        medium
            .read_exact_at(&mut buffer, leaf * size)
            .map_err(Error::io("read", partition))?;
        hashes.push(leaves.hash(&buffer));
    }
    Ok(hashes)
}

fn join<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    match thread.join() {
        Ok(outcome) => outcome,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}
