//! Files with holes: found, kept when copying, and left where zeros would be written.

use std::fs::File;
use std::io;
use std::iter;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use bedstone_store::{Digest, Hasher};
use rayon::prelude::*;
use rustix::fs::{SeekFrom, copy_file_range, seek};
use rustix::io::Errno;

use crate::error::{Error, Result};

/// The unit in which zeros become holes: a page, and a block of every usual file system.
pub const BLOCK: usize = 4096;
/// Bytes that one thread copies at a time.
const BATCH: u64 = 32 << 20;
/// Bytes that go through memory at a time, where the kernel cannot copy by itself.
const BUFFER: usize = 1 << 20;
/// Zeros that are hashed at a time: they stay in the processor's first cache.
const ZERO_BATCH: usize = 16 << 10;

/// Whether all bytes are zero.
pub fn is_zero(bytes: &[u8]) -> bool {
    // Without early exit inside a chunk, the loop vectorises.
    bytes
        .chunks(256)
        .all(|chunk| chunk.iter().fold(0, |all, byte| all | byte) == 0)
}

/// The parts of `file` that are not holes, as its file system tells. Moves the file's position.
///
/// Zeros that were written count as data; a file system without holes makes one range of everything.
pub fn data_ranges(file: &File, path: &Path) -> Result<Vec<Range<u64>>> {
    let failed = |errno: Errno| Error::io("find the holes of", path)(errno.into());
    let end = seek(file, SeekFrom::End(0)).map_err(failed)?;
    let mut ranges = Vec::new();
    let mut position = 0;
    while position < end {
        let start = match seek(file, SeekFrom::Data(position)) {
            Ok(start) => start,
            Err(Errno::NXIO) => break,
            Err(Errno::INVAL) => position,
            Err(errno) => return Err(failed(errno)),
        };
        position = match seek(file, SeekFrom::Hole(start)) {
            Ok(hole) => hole,
            Err(Errno::INVAL) => end,
            Err(errno) => return Err(failed(errno)),
        };
        ranges.push(start..position);
    }
    Ok(ranges)
}

/// Returns digest and length of a file, holes included but not read: a disk image is mostly holes.
pub fn digest(path: &Path) -> Result<(Digest, u64)> {
    let file = File::open(path).map_err(Error::io("open", path))?;
    let mut hasher = Hasher::new();
    let size = hash(&mut hasher, &file, path)?;
    Ok((hasher.finish(), size))
}

/// Hashes a file as [`digest`] does and returns its length. Moves the file's position; `path` is for messages.
pub(crate) fn hash(hasher: &mut Hasher, file: &File, path: &Path) -> Result<u64> {
    let size = file.metadata().map_err(Error::io("inspect", path))?.len();
    let mut buffer = vec![0; BUFFER];
    let mut position = 0;
    let end = iter::once(size..size);
    for range in data_ranges(file, path)?.into_iter().chain(end) {
        hash_zeros(hasher, range.start - position);
        position = range.start;
        while position < range.end {
            let part = &mut buffer[..BUFFER.min((range.end - position) as usize)];
            file.read_exact_at(part, position)
                .map_err(Error::io("read", path))?;
            hasher.update(part);
            position += part.len() as u64;
        }
    }
    Ok(size)
}

/// Hashes as many zeros.
pub(crate) fn hash_zeros(hasher: &mut Hasher, mut length: u64) {
    static ZEROS: [u8; ZERO_BATCH] = [0; ZERO_BATCH];
    while length > 0 {
        let part = length.min(ZERO_BATCH as u64);
        hasher.update(&ZEROS[..part as usize]);
        length -= part;
    }
}

/// Copies all of the file `source` into `target` from `offset` on, on all threads of the current rayon pool, and
/// returns the length. Holes are not written, so they must be zero in the target already.
///
/// The kernel copies by itself where it can, and shares the blocks where the file system can.
pub fn copy(source: &Path, target: &File, offset: u64) -> Result<u64> {
    let file = File::open(source).map_err(Error::io("open", source))?;
    let ranges = data_ranges(&file, source)?;
    let batches: Vec<Range<u64>> = ranges
        .into_iter()
        .flat_map(|range| {
            let starts = range.clone().step_by(BATCH as usize);
            starts.map(move |start| start..range.end.min(start + BATCH))
        })
        .collect();
    batches
        .into_par_iter()
        .try_for_each(|range| copy_range(&file, range, target, offset))
        .map_err(Error::io("copy", source))?;
    let metadata = file.metadata().map_err(Error::io("inspect", source))?;
    Ok(metadata.len())
}

fn copy_range(source: &File, range: Range<u64>, target: &File, offset: u64) -> io::Result<()> {
    let mut from = range.start;
    let mut to = offset + range.start;
    while from < range.end {
        let length = (range.end - from) as usize;
        match copy_file_range(source, Some(&mut from), target, Some(&mut to), length) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                return copy_through_memory(source, from..range.end, target, to);
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

fn copy_through_memory(
    source: &File,
    range: Range<u64>,
    target: &File,
    mut to: u64,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER.min((range.end - range.start) as usize)];
    let mut from = range.start;
    while from < range.end {
        let length = buffer.len().min((range.end - from) as usize);
        source.read_exact_at(&mut buffer[..length], from)?;
        write(target, &buffer[..length], to)?;
        from += length as u64;
        to += length as u64;
    }
    Ok(())
}

/// Writes `bytes` to `target` from `offset` on but for blocks of zeros, which must be zero in the target already.
pub fn write(target: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    let mut run = 0..0;
    for (block, index) in bytes.chunks(BLOCK).zip(0..) {
        let start = index * BLOCK;
        if is_zero(block) {
            continue;
        }
        if run.end != start {
            target.write_all_at(&bytes[run.clone()], offset + run.start as u64)?;
            run.start = start;
        }
        run.end = start + block.len();
    }
    target.write_all_at(&bytes[run.clone()], offset + run.start as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    const MEGABYTE: usize = 1 << 20;

    #[test]
    fn zeros() {
        assert!(is_zero(&[]));
        assert!(is_zero(&[0; 10_000]));
        for at in [0, 255, 256, 9999] {
            let mut bytes = [0; 10_000];
            bytes[at] = 1;
            assert!(!is_zero(&bytes));
        }
    }

    #[test]
    fn copies_keep_holes_and_bytes() {
        let directory = tempfile::tempdir().unwrap();
        let (a, b) = (directory.path().join("a"), directory.path().join("b"));
        let source = File::create(&a).unwrap();
        source
            .write_all_at(&[1; 5000], 3 * MEGABYTE as u64 + 1)
            .unwrap();
        source
            .write_all_at(&vec![2; 70_000], 40 * MEGABYTE as u64)
            .unwrap();
        source.set_len(80 * MEGABYTE as u64).unwrap();
        let ranges = data_ranges(&File::open(&a).unwrap(), &a).unwrap();
        assert_eq!(ranges.len(), 2);

        let target = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&b)
            .unwrap();
        assert_eq!(copy(&a, &target, 4096).unwrap(), 80 * MEGABYTE as u64);
        target.set_len(80 * MEGABYTE as u64 + 4096).unwrap();
        let (source, target) = (std::fs::read(&a).unwrap(), std::fs::read(&b).unwrap());
        assert!(source == target[4096..] && is_zero(&target[..4096]));
        let length = source.len() as u64;
        assert_eq!(digest(&a).unwrap(), (Digest::of(&source), length));
        assert_eq!(digest(&b).unwrap(), (Digest::of(&target), length + 4096));
        assert!(b.metadata().unwrap().blocks() * 512 < MEGABYTE as u64);
    }

    #[test]
    fn memory_is_written_without_its_zeros() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let mut bytes = vec![0; 4 * MEGABYTE + 77];
        for at in [0, 9000, 9001, 3 * MEGABYTE, 4 * MEGABYTE + 76] {
            bytes[at] = 1;
        }
        let file = File::create(&path).unwrap();
        file.set_len(bytes.len() as u64).unwrap();
        write(&file, &bytes, 0).unwrap();
        assert!(std::fs::read(&path).unwrap() == bytes);
        assert!(path.metadata().unwrap().blocks() * 512 <= 5 * BLOCK as u64);
        write(&file, &[], 5).unwrap();
        let source = File::open(&path).unwrap();
        let copied = File::create(directory.path().join("copy")).unwrap();
        copy_through_memory(&source, 0..bytes.len() as u64, &copied, 0).unwrap();
        assert!(std::fs::read(directory.path().join("copy")).unwrap() == bytes);
    }

    #[test]
    fn names_what_is_missing() {
        let directory = tempfile::tempdir().unwrap();
        let target = File::create(directory.path().join("target")).unwrap();
        let error = copy(&directory.path().join("absent"), &target, 0).unwrap_err();
        assert!(error.to_string().contains("absent"), "{error}");
    }
}
