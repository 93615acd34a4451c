use std::io::Read;
use std::sync::mpsc::sync_channel;
use std::thread;

use bedstone_bundle::Member;
use bedstone_disk::boot_partition::Medium;
use bedstone_disk::layout::Slot;

use super::{Installation, PIECE, Progress, read};
use crate::error::{Error, Result};

/// Pieces that travel between the thread that reads and the one that writes.
const PIECES: usize = 4;

/// Writes a member's content to the start of a slot's root partition.
///
/// A second thread writes, so that hashing and decompressing do not wait for the disk. With `resumes`, what is there is read
/// first, and not written again where it is right: flash wears.
pub(super) fn write<M: Medium + Send, R: Read>(
    member: Member<'_, R>,
    target: &mut M,
    slot: Slot,
    installation: &Installation<'_>,
    resumes: bool,
    progress: &mut dyn FnMut(Progress),
) -> Result<()> {
    let name = member.name.clone();
    let partition = slot.root_partition();
    let limit = target.size().map_err(Error::io("measure", partition))?;
    let mut content = member.content(installation.key)?;
    let (full, pieces) = sync_channel::<(Vec<u8>, usize, u64)>(PIECES);
    let (written, empty) = sync_channel::<Vec<u8>>(PIECES);
    thread::scope(|scope| {
        let writing = scope.spawn(move || -> Result<()> {
            let mut found = vec![0; if resumes { PIECE } else { 0 }];
            for (piece, length, offset) in pieces {
                let bytes = &piece[..length];
                let same = resumes
                    && target.read_exact_at(&mut found[..length], offset).is_ok()
                    && found[..length] == *bytes;
                if !same {
                    target
                        .write_all_at(bytes, offset)
                        .map_err(Error::io("write", partition))?;
                }
                // Nobody waits for the last ones.
                let _ = written.send(piece);
            }
            Ok(())
        });
        let mut reading = || -> Result<()> {
            let mut made = 0;
            let mut offset = 0;
            loop {
                let mut piece = match empty.try_recv() {
                    Ok(piece) => piece,
                    Err(_) if made < PIECES => {
                        made += 1;
                        vec![0; PIECE]
                    }
                    // The writer has ended early; it says why.
                    Err(_) => match empty.recv() {
                        Ok(piece) => piece,
                        Err(_) => return Ok(()),
                    },
                };
                let mut length = 0;
                while length < PIECE {
                    match read(&mut content, &mut piece[length..], installation.interrupt)? {
                        0 => break,
                        more => length += more,
                    }
                }
                if length == 0 {
                    return Ok(());
                }
                if offset + length as u64 > limit {
                    return Err(Error::TooLarge {
                        member: name.clone(),
                        limit,
                        place: format!("partition `{partition}`"),
                    });
                }
                if full.send((piece, length, offset)).is_err() {
                    return Ok(());
                }
                offset += length as u64;
                progress(Progress::Member {
                    name: name.clone(),
                    bytes: offset,
                });
            }
        };
        let outcome = reading();
        drop(full);
        match writing.join() {
            Ok(written) => written.and(outcome),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
