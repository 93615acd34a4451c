use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use bedstone_store::{Digest, Hasher};

/// How a plan reads files of the build machine.
pub trait Inputs {
    /// The content of a file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// A digest of a file, or of a directory with all that it holds: names, kinds, executable bits, contents, link targets.
    fn digest(&self, path: &Path) -> io::Result<Digest>;
}

/// The build machine's own files.
#[derive(Debug, Clone, Copy, Default)]
pub struct HostInputs;

impl Inputs for HostInputs {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn digest(&self, path: &Path) -> io::Result<Digest> {
        let mut hasher = Hasher::new();
        add(&mut hasher, path, b"")?;
        Ok(hasher.finish())
    }
}

/// Adds one entry: kind, length-prefixed name, content; a directory's entries follow in order of name.
fn add(hasher: &mut Hasher, path: &Path, name: &[u8]) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let metadata = fs::symlink_metadata(path)?;
    // What the manifest itself names may be a link; below it, links are part of the content.
    let metadata = if name.is_empty() {
        fs::metadata(path)?
    } else {
        metadata
    };
    let start = |hasher: &mut Hasher, kind: u8| {
        hasher.update(&[kind]);
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name);
    };
    if metadata.is_dir() {
        start(hasher, b'd');
        let mut entries: Vec<PathBuf> = fs::read_dir(path)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<io::Result<_>>()?;
        entries.sort();
        hasher.update(&(entries.len() as u64).to_le_bytes());
        for entry in entries {
            let name = entry.file_name().unwrap_or_default().as_bytes().to_vec();
            add(hasher, &entry, &name)?;
        }
    } else if metadata.is_file() {
        let executable = metadata.permissions().mode() & 0o111 != 0;
        start(hasher, if executable { b'x' } else { b'f' });
        hasher.update(&metadata.len().to_le_bytes());
        let mut file = fs::File::open(path)?;
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            hasher.update(&buffer[..read]);
        }
    } else if metadata.is_symlink() {
        start(hasher, b'l');
        let target = fs::read_link(path)?;
        hasher.update(&(target.as_os_str().len() as u64).to_le_bytes());
        hasher.update(target.as_os_str().as_bytes());
    } else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "only files, directories and links can be inputs",
        ));
    }
    Ok(())
}
