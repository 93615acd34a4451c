use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::super::unpacked::write_file;
use super::{Change, Owner, Tree, clear};
use crate::error::{Error, Result};

impl Tree<'_> {
    /// Copies what the directory `source` of the build machine holds to `path`.
    pub(super) fn tree(&self, path: &str, source: &Path) -> Result<()> {
        self.change(&Change::Directory {
            path: path.to_owned(),
            mode: 0o755,
            owner: Owner::root(),
        })?;
        let mut entries = fs::read_dir(source)
            .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
            .map_err(Error::io("list", source))?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let from = entry.path();
            let name = entry.file_name();
            let name = name.to_str().ok_or_else(|| {
                super::problem(path, &format!("`{}` is not UTF-8", from.display()))
            })?;
            let to = format!("{path}/{name}");
            let metadata = fs::symlink_metadata(&from).map_err(Error::io("inspect", &from))?;
            if metadata.is_dir() {
                self.tree(&to, &from)?;
                continue;
            }
            let full = self.place(&to)?;
            clear(&to, &full)?;
            if metadata.is_symlink() {
                let target = fs::read_link(&from).map_err(Error::io("read", &from))?;
                symlink(target, &full).map_err(Error::io("create", full))?;
            } else {
                let executable = metadata.permissions().mode() & 0o111 != 0;
                let mode = if executable { 0o755 } else { 0o644 };
                let mut file = fs::File::open(&from).map_err(Error::io("open", &from))?;
                write_file(&full, mode, (0, 0), self.epoch, &mut file)?;
            }
        }
        Ok(())
    }
}
