//! Making a bundle.

mod encode;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;

use bedstone_disk::content::Content;
use bedstone_disk::cpio::{self, Format};
use bedstone_store::Digest;

use crate::crypt::Key;
use crate::description::{Alternative, Compression, Description, Entry, Section, Syntax};
use crate::error::{Error, Result};
use crate::signature::{self, Signer};
use crate::{DESCRIPTION, SIGNATURE};

/// Bytes of a block of an archive.
const BLOCK: u64 = 512;

/// Something that goes into a bundle.
#[derive(Debug, Clone)]
pub struct Artifact {
    /// Name of the member; entries of the description refer to it.
    pub name: String,
    /// The content.
    pub content: Content,
    /// How it is to be compressed.
    pub compression: Compression,
    /// Whether it is to be encrypted, on top of that.
    pub encrypted: bool,
}

/// How a bundle is made.
pub struct Options<'a> {
    /// Format of the archive. With checksums (“crc”), as CIP has it, damage on the way is noticed a little earlier.
    pub format: Format,
    /// Syntax of `sw-description`.
    pub syntax: Syntax,
    /// Time of last change of every member, seconds since 1970.
    pub time: u32,
    /// Level of zstd, 1 to 19.
    pub level: i32,
    /// Threads that compress; the bytes do not depend on it.
    pub workers: u32,
    /// The key for artifacts that are to be encrypted: AES of 256 bits.
    pub key: Option<&'a Key>,
    /// Who signs.
    pub signer: &'a dyn Signer,
    /// An empty directory for artifacts in the form in which they are stored.
    pub scratch: &'a Path,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The description with its digests.
    pub description: Description,
    /// The members that it lists, in their order in the archive.
    pub members: Vec<WrittenMember>,
}

/// A member as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenMember {
    /// Its name.
    pub name: String,
    /// Bytes as it is stored.
    pub size: u64,
    /// Digest of these.
    pub sha256: Digest,
}

/// Writes a bundle of `artifacts`, in their order, as `description` says. Digests, compression and encryption of the
/// description's entries are filled in.
///
/// Equal input gives equal bytes, with an RSA key. Fails when description and artifacts do not match, or on what SWUpdate as
/// Debian builds it would refuse: no version, no hardware, 4 GiB and more.
pub fn write<W: Write>(
    output: W,
    mut description: Description,
    artifacts: &[Artifact],
    options: &Options<'_>,
) -> Result<(W, Written)> {
    matches(&description, artifacts)?;
    let mut members = Vec::new();
    for artifact in artifacts {
        members.push(encode::encode(artifact, options)?);
    }
    for stored in &members {
        for entry in entries_mut(&mut description) {
            if entry.filename.as_ref() == Some(&stored.name) {
                entry.sha256 = Some(stored.sha256);
                entry.compression = stored.compression;
                entry.encryption = stored.encryption;
            }
        }
    }
    let text = description.to_text(options.syntax)?.into_bytes();
    let signature = signature::sign(&text, options.signer)?;

    let head = [(DESCRIPTION, text), (SIGNATURE, signature)]
        .map(|(name, bytes)| (name.to_owned(), Content::Bytes(bytes)));
    let body = members
        .iter()
        .map(|stored| (stored.name.clone(), stored.content.clone()));
    let counted = Counted { output, length: 0 };
    let mut archive = cpio::Writer::new(counted, options.format);
    for ((name, content), inode) in head.into_iter().chain(body).zip(1..) {
        let member = cpio::Member {
            name,
            inode,
            mode: cpio::REGULAR | 0o644,
            links: 1,
            time: options.time,
            ..cpio::Member::default()
        };
        archive.append(&member, &content)?;
    }
    let output = archive.finish()?.fill().map_err(Error::Output)?;
    let members = members
        .into_iter()
        .map(|stored| WrittenMember {
            name: stored.name,
            size: stored.size,
            sha256: stored.sha256,
        })
        .collect();
    Ok((
        output,
        Written {
            description,
            members,
        },
    ))
}

/// Checks that every artifact is installed by an entry and every entry has its artifact.
fn matches(description: &Description, artifacts: &[Artifact]) -> Result<()> {
    let refuse = |what: &str, reason: &str| {
        Err(Error::Unwritable {
            what: what.to_owned(),
            reason: reason.to_owned(),
        })
    };
    if description.version.is_empty() {
        return refuse("version", "is empty");
    }
    let sections = description.sections();
    if !sections.iter().any(|(_, section)| {
        section
            .hardware
            .as_ref()
            .is_some_and(|list| !list.is_empty())
    }) {
        return refuse("hardware-compatibility", "names no hardware");
    }
    let mut named = BTreeSet::new();
    for artifact in artifacts {
        if !named.insert(artifact.name.as_str()) {
            return refuse(&artifact.name, "is given twice");
        }
        if [DESCRIPTION, SIGNATURE].contains(&&*artifact.name) {
            return refuse(&artifact.name, "is the name of another member");
        }
        if description.entries_of(&artifact.name).is_empty() {
            return refuse(&artifact.name, "no entry installs it");
        }
    }
    let absent = sections
        .iter()
        .flat_map(|(_, section)| section.entries())
        .filter_map(|entry| entry.filename.as_deref())
        .find(|filename| !named.contains(filename));
    match absent {
        Some(filename) => refuse(filename, "an entry installs it, but it is not there"),
        None => Ok(()),
    }
}

fn entries_mut(description: &mut Description) -> Vec<&mut Entry> {
    fn of_section(section: &mut Section) -> impl Iterator<Item = &mut Entry> {
        [
            &mut section.images,
            &mut section.files,
            &mut section.scripts,
        ]
        .into_iter()
        .flatten()
        .flatten()
    }
    fn of_alternative<'a>(alternative: &'a mut Alternative, found: &mut Vec<&'a mut Entry>) {
        found.extend(of_section(&mut alternative.section));
        for inner in alternative.alternatives.values_mut() {
            of_alternative(inner, found);
        }
    }
    let mut found: Vec<&mut Entry> = of_section(&mut description.base).collect();
    for alternative in description.alternatives.values_mut() {
        of_alternative(alternative, &mut found);
    }
    found
}

/// Counts what is written.
struct Counted<W> {
    output: W,
    length: u64,
}

impl<W: Write> Counted<W> {
    /// Fills up to a whole number of blocks of 512 bytes, as cpio does and SWUpdate expects.
    fn fill(mut self) -> io::Result<W> {
        let rest = self.length.next_multiple_of(BLOCK) - self.length;
        self.output
            .write_all(&[0; BLOCK as usize][..rest as usize])?;
        Ok(self.output)
    }
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.output.write(bytes)?;
        self.length += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

impl std::fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").finish_non_exhaustive()
    }
}
