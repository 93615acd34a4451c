//! `sw-description`: what a bundle holds and where each part goes, as types.
//!
//! Source: SWUpdate's documentation, “syntax and tags with the default parser”. An attribute that is not known, or that has
//! another type than it should, is an error: SWUpdate takes `encrypted = "yes"` for false and writes ciphertext to the
//! target. What SWUpdate knows and this crate refuses, naming it: `ref` (SWUpdate 2024.12 itself loses some), `partitions`
//! (UBI), compression by xz or lz4, ciphers by name.

mod entry;
mod fields;
mod read;
mod write;

#[cfg(test)]
mod tests;

pub(crate) use entry::is_plain;

use std::collections::BTreeMap;

use bedstone_store::Digest;

use crate::document::{self, Node};
use crate::error::Result;

/// A whole `sw-description`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Description {
    /// Version of the bundle.
    pub version: String,
    /// What the bundle is, for people.
    pub description: Option<String>,
    /// Name of the bundle, for people.
    pub name: Option<String>,
    /// Kind of update, which a device may allow or not (`update-type`).
    pub update_type: Option<String>,
    /// Whether the boot loader's environment tells that an update was installed (`bootloader_state_marker`).
    pub state_marker: Option<bool>,
    /// Whether the boot loader's environment tells that one is going on (`bootloader_transaction_marker`).
    pub transaction_marker: Option<bool>,
    /// Whether the device is to be restarted afterwards.
    pub reboot: Option<bool>,
    /// File in which SWUpdate keeps the stream, where it was told to.
    pub output: Option<String>,
    /// Name space of SWUpdate's own variables.
    pub namespace_for_vars: Option<String>,
    /// Lua program that SWUpdate runs while it reads the description.
    pub embedded_script: Option<String>,
    /// What is installed, unless an alternative says otherwise.
    pub base: Section,
    /// Groups below which other sections are, for a board or a selected set and mode.
    pub alternatives: BTreeMap<String, Alternative>,
}

/// A group below the root: of a board, a set or a mode.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Alternative {
    /// What it says itself.
    pub section: Section,
    /// The groups in it.
    pub alternatives: BTreeMap<String, Alternative>,
}

/// What is installed. A group that is not there is looked for elsewhere; one that is there and empty is not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Section {
    /// Hardware that the bundle is for: `REVISION`, or `#RE:PATTERN`.
    pub hardware: Option<Vec<String>>,
    /// Images, written to devices.
    pub images: Option<Vec<Entry>>,
    /// Files, written into file systems.
    pub files: Option<Vec<Entry>>,
    /// Scripts, run before or after.
    pub scripts: Option<Vec<Entry>>,
    /// Variables of the boot loader (`bootenv`).
    pub bootenv: Option<Vec<Variable>>,
    /// Variables of SWUpdate (`vars`).
    pub vars: Option<Vec<Variable>>,
}

/// An image, file or script.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entry {
    /// Line on which it begins; 0 when it was not read.
    pub line: u32,
    /// The member of the bundle that it installs; none for handlers that need no data.
    pub filename: Option<String>,
    /// Digest of the member as it is stored. Always there when `filename` is.
    pub sha256: Option<Digest>,
    /// Handler (`type`); none means the group's own: `raw`, `rawfile`, `lua`.
    pub handler: Option<String>,
    /// Device, or what the handler takes for one.
    pub device: Option<String>,
    /// Path of a file.
    pub path: Option<String>,
    /// File system on `device` that has to be mounted.
    pub filesystem: Option<String>,
    /// Name of what is installed.
    pub name: Option<String>,
    /// Version of what is installed.
    pub version: Option<String>,
    /// UBI volume.
    pub volume: Option<String>,
    /// MTD name.
    pub mtdname: Option<String>,
    /// Text for the handler.
    pub data: Option<String>,
    /// Bytes of the member as it is stored.
    pub size: Option<u64>,
    /// Where on the device it begins, in bytes.
    pub offset: u64,
    /// How it is compressed.
    pub compression: Compression,
    /// How it is encrypted, on top of the compression.
    pub encryption: Option<Encryption>,
    /// Whether SWUpdate writes it while it reads it, without a copy in between.
    pub installed_directly: bool,
    /// Whether owners and modes from an archive are kept.
    pub preserve_attributes: bool,
    /// Whether it is left out when this version is installed.
    pub install_if_different: bool,
    /// Whether it is left out when this version or a newer one is installed.
    pub install_if_higher: bool,
    /// Lua function that is called before.
    pub preinstall: Option<String>,
    /// Lua function that is called after.
    pub postinstall: Option<String>,
    /// Lua function of the embedded script that is called while the description is read.
    pub hook: Option<String>,
    /// For the handler; a list is kept as one.
    pub properties: BTreeMap<String, Property>,
}

/// The value of a property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Property {
    /// One text.
    One(String),
    /// A list of texts.
    Many(Vec<String>),
}

/// How a member is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip (RFC 1952), which SWUpdate calls `zlib`.
    Zlib,
    /// Zstandard (RFC 8878).
    Zstd,
}

/// How a member is encrypted: AES-CBC with padding as in PKCS #7; the key's length decides between 128, 192 and 256 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Encryption {
    /// Initialisation vector (`ivt`), instead of the one that comes with the key.
    pub iv: Option<[u8; 16]>,
}

/// A variable and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value; empty removes it.
    pub value: String,
}

/// The two syntaxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Syntax {
    /// libconfig, which SWUpdate's documentation and CIP use.
    #[default]
    Libconfig,
    /// JSON.
    Json,
}

impl Description {
    /// Reads a description.
    ///
    /// Fails on text that is neither libconfig nor JSON, and on attributes that are unknown, ill-typed or missing, each with
    /// its line; on an entry with a file name and no digest; on one member
    /// with two digests or two forms.
    pub fn parse(text: &[u8]) -> Result<Self> {
        read::description(document::parse(text)?)
    }

    /// Writes it. Reading the text gives the same description again.
    ///
    /// Fails on text with control characters, which the syntaxes write differently.
    pub fn to_text(&self, syntax: Syntax) -> Result<String> {
        let root: Node = write::description(self)?;
        Ok(match syntax {
            Syntax::Libconfig => document::to_libconfig(&root),
            Syntax::Json => document::to_json(&root),
        })
    }

    /// Every section with the path of names that leads to it; the base's is empty.
    pub fn sections(&self) -> Vec<(Vec<&str>, &Section)> {
        fn collect<'a>(
            path: &[&'a str],
            alternatives: &'a BTreeMap<String, Alternative>,
            found: &mut Vec<(Vec<&'a str>, &'a Section)>,
        ) {
            for (name, alternative) in alternatives {
                let path = [path, &[name]].concat();
                found.push((path.clone(), &alternative.section));
                collect(&path, &alternative.alternatives, found);
            }
        }
        let mut found = vec![(Vec::new(), &self.base)];
        collect(&[], &self.alternatives, &mut found);
        found
    }

    /// Every entry that installs the member `filename`, in any section.
    pub fn entries_of<'a>(&'a self, filename: &str) -> Vec<&'a Entry> {
        self.sections()
            .into_iter()
            .flat_map(|(_, section)| section.entries())
            .filter(|entry| entry.filename.as_deref() == Some(filename))
            .collect()
    }

    /// What a device installs: each group from the first place that has it of `BOARD.SET.MODE`, `SET.MODE`, `BOARD` and the
    /// root, as SWUpdate looks for it.
    pub fn select(&self, board: Option<&str>, selection: Option<(&str, &str)>) -> Section {
        let at = |path: &[&str]| {
            let (first, rest) = path.split_first()?;
            rest.iter()
                .try_fold(self.alternatives.get(*first)?, |place, name| {
                    place.alternatives.get(*name)
                })
                .map(|place| &place.section)
        };
        let places: Vec<&Section> = [
            board
                .zip(selection)
                .and_then(|(board, (set, mode))| at(&[board, set, mode])),
            selection.and_then(|(set, mode)| at(&[set, mode])),
            board.and_then(|board| at(&[board])),
            Some(&self.base),
        ]
        .into_iter()
        .flatten()
        .collect();
        Section {
            hardware: places.iter().find_map(|place| place.hardware.clone()),
            images: places.iter().find_map(|place| place.images.clone()),
            files: places.iter().find_map(|place| place.files.clone()),
            scripts: places.iter().find_map(|place| place.scripts.clone()),
            bootenv: places.iter().find_map(|place| place.bootenv.clone()),
            vars: places.iter().find_map(|place| place.vars.clone()),
        }
    }
}

impl Section {
    /// Its images, files and scripts.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        [&self.images, &self.files, &self.scripts]
            .into_iter()
            .flatten()
            .flatten()
    }
}
