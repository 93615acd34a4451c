//! Where the stored bytes of chunks come from.

use crate::base::Base;
use crate::{Error, Result};

/// A zchunk file, of which some ranges are needed in rising order.
pub trait Body: Send {
    /// Fills `buffer` with the bytes of the file from `offset` on. Offsets never go back.
    fn read_exact_at(&mut self, buffer: &mut [u8], offset: u64) -> Result<()>;
}

/// A file at hand.
impl<B: Base + ?Sized> Body for &B {
    fn read_exact_at(&mut self, buffer: &mut [u8], offset: u64) -> Result<()> {
        Base::read_exact_at(*self, buffer, offset).map_err(Error::read("zchunk file"))
    }
}
