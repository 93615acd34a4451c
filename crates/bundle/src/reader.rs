//! Reading a bundle in one pass.

mod check;
mod content;
mod stored;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read};

use bedstone_disk::cpio;

pub use check::{Contents, MemberContents, check};
pub use content::Content;
pub use stored::Stored;

use crate::crypt::Key;
use crate::description::{Compression, Description, Entry};
use crate::error::{Error, Result};
use crate::signature::{self, Names, Trust};
use crate::{DESCRIPTION, SIGNATURE, document};

/// A bundle being read. Its signature is checked and its description known; its members come one after the other.
///
/// Memory: the description, and what decoding a member takes ([`Member::content`]).
#[derive(Debug)]
pub struct Bundle<R> {
    archive: cpio::Reader<R>,
    description: Description,
    signer: Names,
    /// Members that are listed and were not there yet.
    awaited: BTreeSet<String>,
}

/// What comes next in a bundle.
#[derive(Debug)]
pub enum Item<'a, R> {
    /// A member that the description lists.
    Member(Member<'a, R>),
    /// One that it does not list: nobody signed it, nothing may be done with it. SWUpdate skips it silently.
    Unlisted {
        /// Its name.
        name: String,
        /// Its bytes.
        size: u64,
    },
}

/// A listed member, not read yet. One that is not wanted is dropped; it is skipped then.
#[derive(Debug)]
pub struct Member<'a, R> {
    /// Its name.
    pub name: String,
    /// Bytes as it is stored.
    pub size: u64,
    /// Whatever installs it, of all sections; at least one.
    pub entries: Vec<&'a Entry>,
    archive: &'a mut cpio::Reader<R>,
}

impl<R: Read> Bundle<R> {
    /// Reads description and signature. Fails before the description is interpreted when the signature is not by someone
    /// whom `trust` trusts.
    pub fn open(input: R, trust: &Trust) -> Result<Self> {
        Self::start(input, |text, signature| {
            signature::verify(text, signature, trust)
        })
    }

    /// Reads a bundle of which nobody knows who signed it, to show it to a person; never to install it. The digests hold as
    /// ever, the signer's name is what the signer says.
    pub fn inspect(input: R) -> Result<Self> {
        Self::start(input, signature::inspect)
    }

    fn start(input: R, judge: impl FnOnce(&[u8], &[u8]) -> Result<Names>) -> Result<Self> {
        let mut archive = cpio::Reader::new(input);
        let first = next_member(&mut archive)?;
        let text = match first {
            Some(member) if member.name == DESCRIPTION => {
                head(&mut archive, &member, document::LIMIT)?
            }
            other => {
                return Err(Error::NoDescription {
                    found: other.map(|member| member.name).unwrap_or_default(),
                });
            }
        };
        let signature = match next_member(&mut archive)? {
            Some(member) if member.name == SIGNATURE => {
                head(&mut archive, &member, signature::LIMIT)?
            }
            _ => return Err(Error::NotSigned),
        };
        let signer = judge(&text, &signature)?;
        let description = Description::parse(&text)?;
        let awaited = description
            .sections()
            .iter()
            .flat_map(|(_, section)| section.entries())
            .filter_map(|entry| entry.filename.clone())
            .collect();
        Ok(Self {
            archive,
            description,
            signer,
            awaited,
        })
    }

    /// What the bundle holds and where it goes.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Who signed it.
    pub fn signer(&self) -> &Names {
        &self.signer
    }

    /// Goes to the next member; none when the archive's trailer was read.
    ///
    /// Fails when the bundle ends early, or ends without a member that is listed.
    pub fn next_item(&mut self) -> Result<Option<Item<'_, R>>> {
        let Some(found) = next_member(&mut self.archive)? else {
            return match self.awaited.first() {
                Some(member) => Err(Error::Missing {
                    member: member.clone(),
                }),
                None => Ok(None),
            };
        };
        let (name, size) = (found.name, u64::from(found.size));
        let entries = self.description.entries_of(&name);
        let refuse = |reason| {
            Err(Error::Member {
                member: name.clone(),
                reason,
            })
        };
        if entries.is_empty() {
            if name == DESCRIPTION || name == SIGNATURE {
                return refuse("is there twice");
            }
            return Ok(Some(Item::Unlisted { name, size }));
        }
        if !self.awaited.remove(&name) {
            return refuse("is there twice");
        }
        if entries[0].size.is_some_and(|promised| promised != size) {
            return refuse("has another size than `sw-description` says");
        }
        Ok(Some(Item::Member(Member {
            name,
            size,
            entries,
            archive: &mut self.archive,
        })))
    }

    /// What follows the trailer. Only of use when [`Bundle::next_item`] gave none.
    pub fn into_inner(self) -> R {
        self.archive.into_inner()
    }
}

impl<'a, R: Read> Member<'a, R> {
    /// How it is compressed.
    pub fn compression(&self) -> Compression {
        self.entries[0].compression
    }

    /// Whether it is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.entries[0].encryption.is_some()
    }

    /// Its bytes as they are stored. The end is given only when they had the digest that was signed.
    pub fn stored(self) -> Stored<'a, R> {
        // The reader of the description refuses a file name without a digest.
        let expected = self.entries.iter().find_map(|entry| entry.sha256);
        Stored::new(self.archive, self.name, expected)
    }

    /// Its content, decrypted and decompressed. The end is given only when the stored bytes had the digest that was signed,
    /// so what was read before counts as soon as the end is there, and not earlier.
    ///
    /// Memory: 200 KiB for decryption, 64 KiB for zlib, 8 MiB for zstd at most; a frame that asks for more is refused.
    /// Fails when the member is encrypted and there is no key.
    pub fn content(self, key: Option<&Key>) -> Result<Content<'a, R>> {
        let compression = self.compression();
        let decryption = match (self.entries[0].encryption, key) {
            (None, _) => None,
            (Some(encryption), Some(key)) => Some((key, encryption.iv)),
            (Some(_), None) => return Err(Error::KeyNeeded { member: self.name }),
        };
        Content::new(self.stored(), decryption, compression)
    }
}

/// Reads a member of the head whole.
fn head<R: Read>(
    archive: &mut cpio::Reader<R>,
    member: &cpio::Member,
    limit: usize,
) -> Result<Vec<u8>> {
    if member.size as usize > limit {
        return Err(Error::Member {
            member: member.name.clone(),
            reason: "is too large",
        });
    }
    let mut bytes = Vec::with_capacity(member.size as usize);
    archive
        .read_to_end(&mut bytes)
        .map_err(|error| stored::failure(error, &member.name).unwrap_or_else(Error::Input))?;
    Ok(bytes)
}

/// The next member, of a kind that a bundle may have.
fn next_member<R: Read>(archive: &mut cpio::Reader<R>) -> Result<Option<cpio::Member>> {
    let found = archive.next_member().map_err(|error| match error {
        bedstone_disk::Error::Truncated { place, .. } => Error::Truncated {
            place: place.to_owned(),
        },
        // From the member before, which nobody wanted to read.
        bedstone_disk::Error::Stream { source, .. } => match source.kind() {
            ErrorKind::UnexpectedEof => Error::Truncated {
                place: "a member".to_owned(),
            },
            ErrorKind::InvalidData => Error::Checksum {
                member: "one that was skipped".to_owned(),
            },
            _ => Error::Input(source),
        },
        other => other.into(),
    })?;
    let Some((_, member)) = found else {
        return Ok(None);
    };
    let refuse = |reason| {
        Err(Error::Member {
            member: member.name.escape_debug().to_string(),
            reason,
        })
    };
    if !crate::description::is_plain(&member.name) {
        return refuse("is no plain file name");
    }
    if member.mode & cpio::TYPE_MASK != cpio::REGULAR {
        return refuse("is no regular file");
    }
    Ok(Some(member))
}
