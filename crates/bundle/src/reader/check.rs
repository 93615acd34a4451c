use std::io::{ErrorKind, Read};

use bedstone_store::Digest;

use super::{Bundle, Item};
use crate::crypt::Key;
use crate::error::{Error, Result};

/// Most names of unlisted members that are kept.
const NAMES: usize = 100;

/// What a bundle turned out to hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contents {
    /// The members that are listed, in their order in the archive.
    pub members: Vec<MemberContents>,
    /// Names of members that are not listed, the first hundred.
    pub unlisted: Vec<String>,
    /// How many of these there are.
    pub unlisted_count: u64,
    /// Bytes other than zero behind the archive's trailer.
    pub follows: bool,
}

/// A member that is listed and has the digest it should have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberContents {
    /// Its name.
    pub name: String,
    /// Bytes as it is stored.
    pub size: u64,
    /// Bytes and digest of its content; none when it is encrypted and there is no key.
    pub content: Option<(u64, Digest)>,
}

/// Reads the rest of a bundle to its end: every digest is compared, everything is decoded that can be.
///
/// Without a key, encrypted members are only held against their digests.
pub fn check<R: Read>(mut bundle: Bundle<R>, key: Option<&Key>) -> Result<Contents> {
    let mut contents = Contents::default();
    while let Some(item) = bundle.next_item()? {
        match item {
            Item::Unlisted { name, .. } => {
                if contents.unlisted.len() < NAMES {
                    contents.unlisted.push(name);
                }
                contents.unlisted_count += 1;
            }
            Item::Member(member) => {
                let (name, size) = (member.name.clone(), member.size);
                let content = if member.is_encrypted() && key.is_none() {
                    Digest::of_reader(&mut member.stored()).map(|_| None)
                } else {
                    Digest::of_reader(&mut member.content(key)?)
                        .map(|(digest, length)| Some((length, digest)))
                };
                contents.members.push(MemberContents {
                    name,
                    size,
                    content: content.map_err(Error::from_read)?,
                });
            }
        }
    }
    contents.follows = any_but_zeros(&mut bundle.into_inner())?;
    Ok(contents)
}

fn any_but_zeros(input: &mut impl Read) -> Result<bool> {
    let mut buffer = [0; 4096];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return Ok(false),
            Ok(length) if buffer[..length].iter().any(|byte| *byte != 0) => return Ok(true),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::Input(error)),
        }
    }
}
