//! The compressions that Debian archives use, behind one reader.

use std::fmt;
use std::io::{self, BufRead, Read};

use flate2::bufread::MultiGzDecoder;
use liblzma::bufread::XzDecoder;
use liblzma::stream::Stream;

/// Memory a decoder may take for its dictionary, in bytes: `xz -9` needs 65 MiB.
const XZ_MEMORY: u64 = 256 << 20;

/// How a member or index file is compressed, told by the end of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Compression {
    /// `.zst` (RFC 8878).
    Zstd,
    /// `.xz`.
    Xz,
    /// `.gz` (RFC 1952).
    Gzip,
    /// No suffix.
    None,
}

impl Compression {
    /// Every compression, the one that decodes fastest for its size first.
    pub const ALL: [Self; 4] = [Self::Zstd, Self::Xz, Self::Gzip, Self::None];

    /// The end of a file name, with the dot.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Xz => ".xz",
            Self::Zstd => ".zst",
        }
    }

    /// The compression whose suffix is exactly `suffix`.
    pub fn from_suffix(suffix: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.suffix() == suffix)
    }

    /// Reads `reader` decompressed. Several concatenated streams count as one, as `gzip`, `xz` and `zstd` have it;
    /// anything else behind the last stream is an error of the last read.
    pub fn decoder<R: BufRead>(self, reader: R) -> io::Result<Decoder<R>> {
        Ok(Decoder(match self {
            Self::None => Inner::None(reader),
            Self::Gzip => Inner::Gzip(Box::new(MultiGzDecoder::new(reader))),
            Self::Xz => {
                let stream = Stream::new_stream_decoder(XZ_MEMORY, liblzma::stream::CONCATENATED)?;
                Inner::Xz(Box::new(XzDecoder::new_stream(reader, stream)))
            }
            Self::Zstd => Inner::Zstd(Box::new(zstd::stream::read::Decoder::with_buffer(reader)?)),
        }))
    }
}

/// A decompressing reader, made by [`Compression::decoder`].
pub struct Decoder<R: BufRead>(Inner<R>);

enum Inner<R: BufRead> {
    None(R),
    Gzip(Box<MultiGzDecoder<R>>),
    Xz(Box<XzDecoder<R>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, R>>),
}

impl<R: BufRead> Decoder<R> {
    /// The reader underneath, wherever decoding has left it.
    pub fn into_inner(self) -> R {
        match self.0 {
            Inner::None(reader) => reader,
            Inner::Gzip(decoder) => decoder.into_inner(),
            Inner::Xz(decoder) => decoder.into_inner(),
            Inner::Zstd(decoder) => decoder.finish(),
        }
    }
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Inner::None(reader) => reader.read(buffer),
            Inner::Gzip(decoder) => decoder.read(buffer),
            Inner::Xz(decoder) => decoder.read(buffer),
            Inner::Zstd(decoder) => decoder.read(buffer),
        }
    }
}

impl<R: BufRead> fmt::Debug for Decoder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let compression = match self.0 {
            Inner::None(_) => Compression::None,
            Inner::Gzip(_) => Compression::Gzip,
            Inner::Xz(_) => Compression::Xz,
            Inner::Zstd(_) => Compression::Zstd,
        };
        write!(f, "Decoder({compression:?})")
    }
}
