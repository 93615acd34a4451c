//! LUKS2 with a key that the TPM seals to the state of Secure Boot (PCR 7), by the tools of the verified root.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::tool;

const CRYPTSETUP: &str = "/sbin/cryptsetup";
const NAME: &str = "data";
/// Bytes of the first key, which is dropped as soon as the TPM has its own.
const KEY: usize = 32;
/// In memory, the same in the initramfs and in the root that the tools see.
const KEY_FILE: &str = "/run/bedstone/first-key";

/// Makes an encrypted volume that only this TPM opens, and opens it; returns the device.
pub(super) fn create(partition: &Path) -> Result<PathBuf> {
    let device = partition.to_string_lossy();
    let key = KeyFile::new()?;
    // The key is random, so it needs no slow derivation.
    let format = [
        "luksFormat",
        "--batch-mode",
        "--type",
        "luks2",
        "--pbkdf",
        "pbkdf2",
        "--pbkdf-force-iterations",
        "1000",
        "--key-file",
        KEY_FILE,
        &device,
    ];
    tool::succeed(CRYPTSETUP, &format)?;
    let unlock = format!("--unlock-key-file={KEY_FILE}");
    let enrol = [
        unlock.as_str(),
        "--tpm2-device=auto",
        "--tpm2-pcrs=7",
        "--wipe-slot=password",
        &device,
    ];
    tool::succeed("/usr/bin/systemd-cryptenroll", &enrol)?;
    drop(key);
    open(partition)
}

/// Opens the volume by the TPM; returns the device. Nothing is changed when the TPM refuses.
pub(super) fn open(partition: &Path) -> Result<PathBuf> {
    let device = partition.to_string_lossy();
    let arguments = [
        "open",
        "--batch-mode",
        "--type",
        "luks2",
        "--token-only",
        "--token-type",
        "systemd-tpm2",
        &device,
        NAME,
    ];
    tool::succeed(CRYPTSETUP, &arguments)?;
    Ok(Path::new("/dev/mapper").join(NAME))
}

/// A file with a random key that is gone when this is dropped.
struct KeyFile;

impl KeyFile {
    fn new() -> Result<Self> {
        let mut key = [0; KEY];
        File::open("/dev/random")
            .and_then(|mut random| random.read_exact(&mut key))
            .map_err(Error::io("read", "/dev/random"))?;
        let path = Path::new(KEY_FILE);
        fs::create_dir_all(path.parent().unwrap_or(path)).map_err(Error::io("create", path))?;
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)
            .and_then(|mut file| file.write_all(&key))
            .map_err(Error::io("write", path))?;
        Ok(Self)
    }
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        // In memory only: what remains after a failure is gone with the power.
        let _ = fs::remove_file(KEY_FILE);
    }
}
