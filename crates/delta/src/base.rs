//! The old image, and the proof that it is the right one.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use bedstone_store::Hasher;

use crate::output::Image;
use crate::{Error, Result};

/// Bytes read in one go, a compromise between system calls and memory.
pub(crate) const PIECE: usize = 256 << 10;

/// An old image: bytes of known size that can be read anywhere, from several threads.
pub trait Base: Sync {
    /// Fills `buffer` from `offset` bytes on; fails with `UnexpectedEof` when that passes the end.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// The size in bytes.
    fn size(&self) -> io::Result<u64>;
}

impl Base for File {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, buffer, offset)
    }

    /// Seeks to the end and back, because a block device's metadata tell no size.
    fn size(&self) -> io::Result<u64> {
        let mut file = self;
        let position = file.stream_position()?;
        let size = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(position))?;
        Ok(size)
    }
}

impl Base for [u8] {
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

impl Base for Vec<u8> {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.as_slice().read_exact_at(buffer, offset)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }
}

/// An old image that has been read whole and found to be the expected one.
///
/// There is no other way to make one, so that whatever takes a `VerifiedBase` cannot be handed the wrong image.
#[derive(Debug)]
pub struct VerifiedBase<'a, B: ?Sized> {
    base: &'a B,
    image: Image,
}

impl<B: Base + ?Sized> Clone for VerifiedBase<'_, B> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

impl<'a, B: Base + ?Sized> VerifiedBase<'a, B> {
    /// Reads the first `image.length` bytes of `base`, which may be longer (a slot is), and compares their digest.
    ///
    /// Fails with [`Error::WrongBase`] when they are another image.
    pub fn check(base: &'a B, image: Image) -> Result<Self> {
        let size = base.size().map_err(Error::read("old image"))?;
        let mut hasher = Hasher::new();
        let mut buffer = vec![0; PIECE];
        let mut offset = 0;
        let readable = image.length.min(size);
        while offset < readable {
            let piece = usize::try_from(readable - offset).map_or(PIECE, |rest| rest.min(PIECE));
            base.read_exact_at(&mut buffer[..piece], offset)
                .map_err(Error::read("old image"))?;
            hasher.update(&buffer[..piece]);
            offset += piece as u64;
        }
        let found = Image {
            length: readable,
            digest: hasher.finish(),
        };
        if found == image {
            Ok(Self { base, image })
        } else {
            Err(Error::WrongBase {
                expected: image,
                found,
            })
        }
    }

    /// What was verified.
    pub fn image(&self) -> Image {
        self.image
    }

    /// Fills `buffer` from `offset` bytes on, within the verified image.
    pub(crate) fn read(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        self.within(offset, buffer.len() as u64)?;
        self.base
            .read_exact_at(buffer, offset)
            .map_err(Error::read("old image"))
    }

    /// Fails unless `length` bytes from `offset` lie within the verified image.
    pub(crate) fn within(&self, offset: u64, length: u64) -> Result<()> {
        if offset
            .checked_add(length)
            .is_none_or(|end| end > self.image.length)
        {
            return Err(Error::OutsideBase {
                offset,
                length,
                size: self.image.length,
            });
        }
        Ok(())
    }
}
