//! The firmware's variables: Secure Boot keys and boot entries, put into OVMF's empty store before the first start.

use std::fs;
use std::path::Path;

use bedstone_disk::efi_variables::{LoadOption, SecureBootKeys, VariableStore};
use bedstone_store::atomic;

use crate::error::{Error, Result};

/// Writes the variable store `target`: the one at `template` with these keys, after which Secure Boot is enforced, and
/// with these boot entries, tried in their order before those that the firmware finds by itself.
///
/// A target that holds just that already is left alone, so that snapshots made with it stay good. The store is a raw file; [`crate::qemu::Access::Discard`] puts the overlay over it that snapshots need.
pub fn write_variables(
    template: &Path,
    keys: Option<&SecureBootKeys<'_>>,
    entries: &[LoadOption],
    target: &Path,
) -> Result<()> {
    let bytes = fs::read(template).map_err(Error::io("read", template))?;
    let variables = |bytes: &[u8]| -> bedstone_disk::Result<Vec<u8>> {
        let mut store = VariableStore::read(bytes)?;
        if let Some(keys) = keys {
            keys.enrol(&mut store)?;
        }
        if !entries.is_empty() {
            store.set_boot_entries(entries)?;
        }
        store.write()
    };
    let bytes = variables(&bytes).map_err(|source| Error::Variables {
        template: template.to_path_buf(),
        source,
    })?;
    if fs::read(target).is_ok_and(|found| found == bytes) {
        return Ok(());
    }
    atomic::write(target, &bytes)?;
    Ok(())
}
