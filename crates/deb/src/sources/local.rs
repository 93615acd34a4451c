//! Directories of .deb files that no repository index describes.

use std::fs::{self, File};
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};

use bedstone_store::Digest;

use crate::archive::Deb;
use crate::error::Result;
use crate::release::is_relative;
use crate::{Error, archive};

/// A .deb file in a local directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalPackage {
    /// Its name within the directory.
    pub filename: String,
    /// Its length in bytes.
    pub size: u64,
    /// Its SHA-256.
    pub digest: Digest,
    /// Its control stanza.
    pub control: Vec<u8>,
}

/// Reads the control stanza and digest of every file `*.deb` in `directory`, in the order of their names.
pub fn scan(directory: &Path) -> Result<Vec<LocalPackage>> {
    let io = |action| bedstone_store::Error::io(action, directory);
    let mut paths: Vec<PathBuf> = fs::read_dir(directory)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .map_err(io("list"))?;
    paths.retain(|path| path.extension().is_some_and(|it| it == "deb"));
    paths.sort();
    paths.iter().map(|path| scan_file(path)).collect()
}

/// Reads the control stanza and digest of one .deb file.
pub fn scan_file(path: &Path) -> Result<LocalPackage> {
    let open = || File::open(path).map_err(bedstone_store::Error::io("open", path));
    let name = path.display().to_string();
    let filename = path
        .file_name()
        .and_then(|name| name.to_str())
        .filter(|name| is_relative(name))
        .ok_or_else(|| Error::Archive {
            deb: name.clone(),
            place: "file name".to_owned(),
            defect: archive::Defect::Path("is not printable ASCII"),
        })?
        .to_owned();
    let (digest, size) = Digest::of_reader(&mut BufReader::with_capacity(1 << 16, open()?))
        .map_err(bedstone_store::Error::io("read", path))?;
    let deb = Deb::open(name, open()?)?;
    Ok(LocalPackage {
        filename,
        size,
        digest,
        control: deb.control().stanza().to_vec(),
    })
}

/// Writes what a repository would say of the packages: a `Packages` index with `Filename`, `Size` and `SHA256`.
pub fn packages_index(packages: &[LocalPackage]) -> Vec<u8> {
    let mut index = Vec::new();
    for package in packages {
        index.extend_from_slice(package.control.trim_ascii());
        // Writing to memory cannot fail.
        let _ = write!(
            index,
            "\nFilename: {}\nSize: {}\nSHA256: {}\n\n",
            package.filename, package.size, package.digest
        );
    }
    index
}
