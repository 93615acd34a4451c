//! Bytes addressed by position: files, block devices, memory, and windows of them.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::FileExt;

/// Something of known size that can be read anywhere.
pub trait ReadAt {
    /// Fills `buffer` from `offset` bytes on; fails with `UnexpectedEof` when that passes the end.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// The size in bytes.
    fn size(&self) -> io::Result<u64>;
}

/// Something of known size that can be written anywhere within that size.
pub trait WriteAt {
    /// Writes all of `bytes` from `offset` on.
    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;
}

impl ReadAt for File {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, buffer, offset)
    }

    /// Seeks to the end, because a block device's metadata tell no size.
    fn size(&self) -> io::Result<u64> {
        let mut file = self;
        file.seek(SeekFrom::End(0))
    }
}

impl WriteAt for File {
    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }
}

impl ReadAt for [u8] {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let bytes = usize::try_from(offset)
            .ok()
            .and_then(|start| self.get(start..start.checked_add(buffer.len())?))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }
}

impl WriteAt for [u8] {
    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        usize::try_from(offset)
            .ok()
            .and_then(|start| self.get_mut(start..start.checked_add(bytes.len())?))
            .ok_or(io::ErrorKind::WriteZero)?
            .copy_from_slice(bytes);
        Ok(())
    }
}

impl ReadAt for Vec<u8> {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.as_slice().read_exact_at(buffer, offset)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }
}

impl WriteAt for Vec<u8> {
    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.as_mut_slice().write_all_at(bytes, offset)
    }
}

/// What addresses, offsets and lengths are multiples of where the page cache is passed by (`O_DIRECT`): no device in use has
/// larger logical blocks.
pub const PAGE: usize = 4096;

/// A buffer whose address is a multiple of [`PAGE`].
#[derive(Debug)]
pub struct Aligned {
    bytes: Vec<u8>,
    start: usize,
    length: usize,
}

impl Aligned {
    /// `length` zeros.
    pub fn new(length: usize) -> Self {
        let bytes = vec![0; length + PAGE];
        // Moving the vector does not move what it holds.
        let start = bytes.as_ptr().align_offset(PAGE).min(PAGE);
        Self {
            bytes,
            start,
            length,
        }
    }
}

impl Deref for Aligned {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..][..self.length]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..][..self.length]
    }
}

/// A part of some storage, addressed from its own start: a partition of a disk.
#[derive(Debug)]
pub struct Window<'a, S: ?Sized> {
    storage: &'a S,
    start: u64,
    size: u64,
}

impl<'a, S: ReadAt + ?Sized> Window<'a, S> {
    /// `size` bytes of `storage` from `start` on. Reads beyond the window fail even where the storage goes on.
    pub fn new(storage: &'a S, start: u64, size: u64) -> Self {
        Self {
            storage,
            start,
            size,
        }
    }
}

impl<S: ReadAt + ?Sized> ReadAt for Window<'_, S> {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let inside = offset
            .checked_add(buffer.len() as u64)
            .is_some_and(|end| end <= self.size);
        let position = self.start.checked_add(offset);
        match position {
            Some(position) if inside => self.storage.read_exact_at(buffer, position),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.size)
    }
}

/// Little-endian field at byte `at`; the caller has checked the length.
pub(crate) fn le16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// Little-endian field at byte `at`; the caller has checked the length.
pub(crate) fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from(le16(bytes, at)) | u32::from(le16(bytes, at + 2)) << 16
}

/// Little-endian field at byte `at`; the caller has checked the length.
pub(crate) fn le64(bytes: &[u8], at: usize) -> u64 {
    u64::from(le32(bytes, at)) | u64::from(le32(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_ends_where_it_ends() {
        let bytes: Vec<u8> = (0..100).collect();
        let window = Window::new(&bytes, 10, 20);
        let mut buffer = [0; 4];
        window.read_exact_at(&mut buffer, 16).unwrap();
        assert_eq!(buffer, [26, 27, 28, 29]);
        assert!(window.read_exact_at(&mut buffer, 17).is_err());
        assert!(window.read_exact_at(&mut buffer, u64::MAX).is_err());
        assert_eq!(window.size().unwrap(), 20);
        assert!(
            Window::new(&bytes, 90, 20)
                .read_exact_at(&mut buffer, 8)
                .is_err()
        );
    }

    #[test]
    fn aligned_buffers_are() {
        for length in [0, 1, PAGE, 3 * PAGE + 1] {
            let mut buffer = Aligned::new(length);
            buffer.fill(1);
            assert_eq!(buffer.len(), length);
            assert_eq!(buffer.as_ptr().align_offset(PAGE), 0);
        }
    }

    #[test]
    fn memory_does_not_grow() {
        let mut bytes = vec![0; 4];
        bytes.write_all_at(&[1, 2], 2).unwrap();
        assert_eq!(bytes, [0, 0, 1, 2]);
        assert!(bytes.write_all_at(&[1, 2], 3).is_err());
        assert!(bytes.write_all_at(&[1, 2], u64::MAX).is_err());
    }
}
