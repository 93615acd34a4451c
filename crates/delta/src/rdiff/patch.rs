//! From an old image and a delta to the new image.

use std::io::{Read, Write};

use super::command::{Command, Commands};
use crate::Result;
use crate::base::{Base, VerifiedBase};
use crate::output::{Image, Prefix, produce};

/// Makes the image `expected` from the old image `base` and `delta`, and writes it to `target`.
///
/// `target` receives the bytes once and in order, in pieces of 256 KiB, without those of `prefix`: it must be
/// positioned behind them. It is neither flushed nor synced. Memory: a few pieces and the buffer of `delta`, 64 KiB,
/// whatever the delta says.
///
/// Succeeds only when the whole output has the length and digest of `expected`. The length is never exceeded.
pub fn apply<B: Base + ?Sized>(
    base: &VerifiedBase<'_, B>,
    delta: impl Read,
    expected: &Image,
    prefix: Prefix,
    target: &mut dyn Write,
) -> Result<()> {
    let mut commands = Commands::new(delta)?;
    produce(target, expected, prefix, |output| {
        loop {
            match commands.next()? {
                Command::Literal { length } => {
                    let skipped = output.skippable(length);
                    commands.pass_over(skipped)?;
                    output.skip(skipped)?;
                    output.append(length - skipped, |piece, _| commands.literal(piece))?;
                }
                Command::Copy { offset, length } => {
                    base.within(offset, length)?;
                    let skipped = output.skippable(length);
                    output.skip(skipped)?;
                    let offset = offset + skipped;
                    output.append(length - skipped, |piece, at| base.read(piece, offset + at))?;
                }
                Command::End => return Ok(()),
            }
        }
    })
}
