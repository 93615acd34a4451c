use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::error::{Error, Result};
use super::info::{ModuleInfo, module_name};

/// The largest module taken, in bytes after decompression; the largest of Debian's has 30 MB.
pub const MAX_MODULE: u64 = 256 << 20;

/// The directory `lib/modules/RELEASE` of a kernel that was unpacked, and what is built into the kernel itself.
#[derive(Debug)]
pub struct KernelModules {
    directory: PathBuf,
    release: String,
    /// Name to path relative to the directory.
    files: BTreeMap<String, PathBuf>,
    built_in: BTreeSet<String>,
    built_in_aliases: BTreeSet<String>,
}

impl KernelModules {
    /// Lists `directory`, whose last component is the kernel's release.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self> {
        let directory = directory.as_ref();
        let release = directory
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let mut modules = Self {
            directory: directory.to_path_buf(),
            release,
            files: BTreeMap::new(),
            built_in: BTreeSet::new(),
            built_in_aliases: BTreeSet::new(),
        };
        modules.list(Path::new(""))?;
        if let Some(text) = optional(&directory.join("modules.builtin"))? {
            let lines = String::from_utf8_lossy(&text);
            let names = lines.lines().filter_map(|line| name_of(Path::new(line)));
            modules.built_in.extend(names);
        }
        if let Some(text) = optional(&directory.join("modules.builtin.modinfo"))? {
            let aliases = ModuleInfo::built_in_aliases(&text).map(|(_, alias)| alias.to_owned());
            modules.built_in_aliases.extend(aliases);
        }
        Ok(modules)
    }

    /// The kernel's release, as in `uname -r`.
    pub fn release(&self) -> &str {
        &self.release
    }

    /// The path of the module `name`, relative to the directory.
    pub fn path(&self, name: &str) -> Option<&Path> {
        self.files.get(&module_name(name)).map(PathBuf::as_path)
    }

    /// Whether `name`, a module or an alias, is part of the kernel itself.
    pub fn is_built_in(&self, name: &str) -> bool {
        self.built_in.contains(&module_name(name)) || self.built_in_aliases.contains(name)
    }

    /// Every module's name and path, in order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.files
            .iter()
            .map(|(name, path)| (name.as_str(), path.as_path()))
    }

    /// The ELF file of a module at a path that [`KernelModules::path`] gave, decompressed where needed, as the kernel
    /// loads it: with its signature.
    pub fn read(&self, path: &Path) -> Result<Vec<u8>> {
        let path = self.directory.join(path);
        let file = File::open(&path).map_err(Error::io("read", &path))?;
        let mut bytes = Vec::new();
        let read = match path.extension().and_then(|extension| extension.to_str()) {
            Some("xz") => liblzma::read::XzDecoder::new(file)
                .take(MAX_MODULE + 1)
                .read_to_end(&mut bytes),
            Some("zst") => zstd::Decoder::new(file)
                .and_then(|decoder| decoder.take(MAX_MODULE + 1).read_to_end(&mut bytes)),
            _ => file.take(MAX_MODULE + 1).read_to_end(&mut bytes),
        };
        read.map_err(Error::io("read", &path))?;
        if bytes.len() as u64 > MAX_MODULE {
            let reason = "it is too large";
            return Err(Error::Malformed { path, reason });
        }
        Ok(bytes)
    }

    /// What the module at `path` says of itself.
    pub fn info(&self, path: &Path) -> Result<ModuleInfo> {
        ModuleInfo::from_elf(&self.read(path)?).map_err(|reason| Error::Malformed {
            path: self.directory.join(path),
            reason,
        })
    }

    fn list(&mut self, below: &Path) -> Result<()> {
        let directory = self.directory.join(below);
        let entries = fs::read_dir(&directory).map_err(Error::io("list", &directory))?;
        for entry in entries {
            let entry = entry.map_err(Error::io("list", &directory))?;
            let path = below.join(entry.file_name());
            let kind = entry
                .file_type()
                .map_err(Error::io("read", &entry.path()))?;
            // `build` and `source` are symbolic links that lead elsewhere: they are not followed.
            if kind.is_dir() {
                self.list(&path)?;
            } else if kind.is_file()
                && let Some(name) = name_of(&path)
            {
                self.files.insert(name, path);
            }
        }
        Ok(())
    }
}

/// The name of the module in the file `path`, if it is one: `….ko`, `….ko.xz`, `….ko.zst`.
pub(super) fn name_of(path: &Path) -> Option<String> {
    let file = path.file_name()?.to_str()?;
    let stem = file
        .strip_suffix(".ko")
        .or_else(|| file.strip_suffix(".ko.xz"))
        .or_else(|| file.strip_suffix(".ko.zst"))?;
    Some(module_name(stem))
}

fn optional(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", path)(error)),
    }
}
