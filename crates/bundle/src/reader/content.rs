use std::io::{self, BufRead, BufReader, ErrorKind, Read};

use flate2::bufread::GzDecoder;

use super::Stored;
use crate::crypt::{BLOCK, Decrypting, Key};
use crate::description::Compression;
use crate::error::{Error, Result};

/// Bytes that go from one layer to the next at once.
const PIECE: usize = 64 << 10;
/// Largest window of zstd, as a power of two: what level 19 of its program uses.
const WINDOW_LOG: u32 = 23;

/// A member's content. See [`super::Member::content`] for what its end means; [`Error::from_read`] takes out the error.
pub struct Content<'a, R: Read> {
    layers: Layers<Stored<'a, R>>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    Ended,
    Failed,
}

enum Layers<S: Read> {
    Plain(Unsealed<S>),
    Zlib(Box<GzDecoder<BufReader<Unsealed<S>>>>),
    Zstd(Box<zstd::Decoder<'static, BufReader<Unsealed<S>>>>),
}

/// The stored bytes after decryption, if they need any.
enum Unsealed<S> {
    Plain(S),
    Decrypting(Box<Decrypting<S>>),
}

impl<'a, R: Read> Content<'a, R> {
    pub(super) fn new(
        stored: Stored<'a, R>,
        decryption: Option<(&Key, Option<[u8; BLOCK]>)>,
        compression: Compression,
    ) -> Result<Self> {
        let name = stored.name().to_owned();
        let unsealed = match decryption {
            None => Unsealed::Plain(stored),
            Some((key, iv)) => Unsealed::Decrypting(Box::new(Decrypting::new(stored, key, iv))),
        };
        let buffered = |unsealed| BufReader::with_capacity(PIECE, unsealed);
        let layers = match compression {
            Compression::None => Layers::Plain(unsealed),
            Compression::Zlib => Layers::Zlib(Box::new(GzDecoder::new(buffered(unsealed)))),
            Compression::Zstd => {
                let decoder = zstd::Decoder::with_buffer(buffered(unsealed))
                    .and_then(|mut decoder| decoder.window_log_max(WINDOW_LOG).map(|()| decoder))
                    .map_err(|error| Error::Decode {
                        member: name,
                        action: "decompressed",
                        reason: error.to_string(),
                    })?;
                Layers::Zstd(Box::new(decoder))
            }
        };
        Ok(Self {
            layers,
            state: State::Reading,
        })
    }

    /// Nothing may follow what was decoded, and the stored bytes must have been the right ones.
    fn end(&mut self) -> io::Result<()> {
        let follows = match &mut self.layers {
            Layers::Plain(_) => false,
            Layers::Zlib(decoder) => !decoder.get_mut().fill_buf()?.is_empty(),
            Layers::Zstd(decoder) => !decoder.get_mut().fill_buf()?.is_empty(),
        };
        if follows {
            let reason = "bytes follow its compressed content";
            return Err(io::Error::new(ErrorKind::InvalidData, reason));
        }
        self.layers.stored().finish()
    }

    /// The reason behind a failed read: the digest when that is wrong, because whatever else went wrong follows from it.
    fn blame(&mut self, error: io::Error) -> io::Error {
        let error = match error.downcast::<Error>() {
            Ok(own) => return own.into(),
            Err(error) => error,
        };
        let decoder_says = matches!(
            error.kind(),
            ErrorKind::InvalidData
                | ErrorKind::InvalidInput
                | ErrorKind::UnexpectedEof
                | ErrorKind::Other
        );
        if !decoder_says {
            return error;
        }
        let encrypted = self.layers.is_decrypting();
        let stored = self.layers.stored();
        if let Err(cause) = stored.finish() {
            return cause;
        }
        Error::Decode {
            member: stored.name().to_owned(),
            // With another key, padding is right by chance once in 256 times, and then it is the decoder that stumbles.
            action: if encrypted {
                "decrypted"
            } else {
                "decompressed"
            },
            reason: error.to_string(),
        }
        .into()
    }
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || self.state == State::Ended {
            return Ok(0);
        }
        if self.state == State::Failed {
            return Err(io::Error::other("an earlier read of the member failed"));
        }
        let outcome = match &mut self.layers {
            Layers::Plain(unsealed) => unsealed.read(buffer),
            Layers::Zlib(decoder) => decoder.read(buffer),
            Layers::Zstd(decoder) => decoder.read(buffer),
        };
        let outcome = match outcome {
            Ok(0) => self.end().map(|()| 0),
            other => other,
        };
        match outcome {
            Ok(0) => {
                self.state = State::Ended;
                Ok(0)
            }
            Ok(length) => Ok(length),
            Err(error) if error.kind() == ErrorKind::Interrupted => Err(error),
            Err(error) => {
                self.state = State::Failed;
                Err(self.blame(error))
            }
        }
    }
}

impl<S: Read> Layers<S> {
    fn unsealed(&mut self) -> &mut Unsealed<S> {
        match self {
            Self::Plain(unsealed) => unsealed,
            Self::Zlib(decoder) => decoder.get_mut().get_mut(),
            Self::Zstd(decoder) => decoder.get_mut().get_mut(),
        }
    }

    fn stored(&mut self) -> &mut S {
        match self.unsealed() {
            Unsealed::Plain(stored) => stored,
            Unsealed::Decrypting(decrypting) => decrypting.get_mut(),
        }
    }

    fn is_decrypting(&mut self) -> bool {
        matches!(self.unsealed(), Unsealed::Decrypting(_))
    }
}

impl<S: Read> Read for Unsealed<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stored) => stored.read(buffer),
            Self::Decrypting(decrypting) => decrypting.read(buffer),
        }
    }
}

impl<R: Read> std::fmt::Debug for Content<'_, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Content").finish_non_exhaustive()
    }
}
