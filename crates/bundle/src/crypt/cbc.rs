use std::io::{self, Read, Write};

use aes::cipher::generic_array::GenericArray;
use aes::cipher::{BlockDecrypt, BlockEncrypt, KeyInit};
use aes::{Aes128, Aes192, Aes256, Block};

use super::{BLOCK, Key};

/// Bytes that are read and decrypted at once.
const PIECE: usize = 64 << 10;

enum Cipher {
    Aes128(Box<Aes128>),
    Aes192(Box<Aes192>),
    Aes256(Box<Aes256>),
}

impl Cipher {
    fn new(key: &Key) -> Self {
        let key = key.key.as_slice();
        match key.len() {
            16 => Self::Aes128(Box::new(Aes128::new(GenericArray::from_slice(key)))),
            24 => Self::Aes192(Box::new(Aes192::new(GenericArray::from_slice(key)))),
            _ => Self::Aes256(Box::new(Aes256::new(GenericArray::from_slice(key)))),
        }
    }

    fn decrypt(&self, blocks: &mut [Block]) {
        match self {
            Self::Aes128(cipher) => cipher.decrypt_blocks(blocks),
            Self::Aes192(cipher) => cipher.decrypt_blocks(blocks),
            Self::Aes256(cipher) => cipher.decrypt_blocks(blocks),
        }
    }

    fn encrypt(&self, block: &mut Block) {
        match self {
            Self::Aes128(cipher) => cipher.encrypt_block(block),
            Self::Aes192(cipher) => cipher.encrypt_block(block),
            Self::Aes256(cipher) => cipher.encrypt_block(block),
        }
    }
}

/// Decrypts what is read through it, in 192 KiB of memory.
///
/// The read that meets the end fails, with the kind `InvalidData`, when the length is not a multiple of 16 or the padding
/// is wrong, as it is with another key.
pub struct Decrypting<R> {
    inner: R,
    cipher: Cipher,
    previous: Block,
    /// Ciphertext that was read; from `held` on it is not complete.
    input: Vec<u8>,
    held: usize,
    blocks: Vec<Block>,
    /// Plaintext that was not given out yet.
    output: Vec<u8>,
    given: usize,
    ended: bool,
}

impl<R: Read> Decrypting<R> {
    /// Starts at the first byte, with `iv` in place of the vector of `key` if it is given.
    pub fn new(inner: R, key: &Key, iv: Option<[u8; BLOCK]>) -> Self {
        Self {
            inner,
            cipher: Cipher::new(key),
            previous: Block::from(iv.unwrap_or(key.iv)),
            input: vec![0; PIECE],
            held: 0,
            blocks: Vec::with_capacity(PIECE / BLOCK),
            output: Vec::with_capacity(PIECE),
            given: 0,
            ended: false,
        }
    }

    /// What is read from.
    pub fn get_mut(&mut self) -> &mut R {
        &mut self.inner
    }

    /// Decrypts the next piece. The last block waits until it is known to be the last.
    fn fill(&mut self) -> io::Result<()> {
        self.output.clear();
        self.given = 0;
        while self.output.is_empty() && !self.ended {
            let length = self.inner.read(&mut self.input[self.held..])?;
            self.held += length;
            if length == 0 {
                self.ended = true;
                if self.held == 0 || !self.held.is_multiple_of(BLOCK) {
                    return Err(invalid("its length is not that of whole blocks"));
                }
                self.decrypt(self.held);
                return self.unpad();
            }
            if self.held < self.input.len() {
                continue;
            }
            self.decrypt(self.held - BLOCK);
        }
        Ok(())
    }

    /// Decrypts the first `length` bytes of the input, a multiple of the block, and keeps the rest.
    fn decrypt(&mut self, length: usize) {
        self.blocks.clear();
        self.blocks.extend(
            self.input[..length]
                .chunks_exact(BLOCK)
                .map(Block::clone_from_slice),
        );
        self.cipher.decrypt(&mut self.blocks);
        for (block, input) in self.blocks.iter().zip(self.input.chunks_exact(BLOCK)) {
            let plain = block.iter().zip(&self.previous).map(|(a, b)| a ^ b);
            self.output.extend(plain);
            self.previous.copy_from_slice(input);
        }
        self.input.copy_within(length..self.held, 0);
        self.held -= length;
    }

    fn unpad(&mut self) -> io::Result<()> {
        let length = self.output.last().copied().map_or(0, usize::from);
        let kept = self.output.len().saturating_sub(length);
        if length == 0
            || length > BLOCK
            || self.output[kept..]
                .iter()
                .any(|byte| usize::from(*byte) != length)
        {
            return Err(invalid("its padding is wrong: it may be another key's"));
        }
        self.output.truncate(kept);
        Ok(())
    }
}

impl<R: Read> Read for Decrypting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given == self.output.len() && !self.ended {
            self.fill()?;
        }
        let length = buffer.len().min(self.output.len() - self.given);
        buffer[..length].copy_from_slice(&self.output[self.given..][..length]);
        self.given += length;
        Ok(length)
    }
}

impl<R> std::fmt::Debug for Decrypting<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decrypting").finish_non_exhaustive()
    }
}

/// Encrypts all of `input` into `output`.
pub(crate) fn encrypt(
    input: &mut impl Read,
    output: &mut impl Write,
    key: &Key,
    iv: [u8; BLOCK],
) -> io::Result<()> {
    let cipher = Cipher::new(key);
    let mut previous = Block::from(iv);
    let mut buffer = vec![0; PIECE];
    let mut held = 0;
    loop {
        let length = match input.read(&mut buffer[held..]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        held += length;
        let last = length == 0;
        if last {
            let padding = BLOCK - held % BLOCK;
            buffer.truncate(held);
            buffer.resize(held + padding, padding as u8);
            held = buffer.len();
        }
        let whole = held - held % BLOCK;
        for chunk in buffer[..whole].chunks_exact_mut(BLOCK) {
            for (byte, before) in previous.iter_mut().zip(&*chunk) {
                *byte ^= before;
            }
            cipher.encrypt(&mut previous);
            chunk.copy_from_slice(&previous);
        }
        output.write_all(&buffer[..whole])?;
        if last {
            return Ok(());
        }
        buffer.copy_within(whole..held, 0);
        held -= whole;
    }
}

fn invalid(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}
