use std::ffi::CString;
use std::fs;
use std::path::Path;

use rustix::mount::MountFlags;

use crate::error::{Error, Result};

/// What every Linux user space expects, and PID 1 first of all.
const KERNEL: [(&str, &str, MountFlags, &str); 4] = [
    ("proc", "/proc", SAFE, ""),
    ("sysfs", "/sys", SAFE, ""),
    ("devtmpfs", "/dev", MountFlags::NOSUID, "mode=0755"),
    (
        "tmpfs",
        "/run",
        MountFlags::NOSUID.union(MountFlags::NODEV),
        "mode=0755,size=20%",
    ),
];

const SAFE: MountFlags = MountFlags::NOSUID
    .union(MountFlags::NODEV)
    .union(MountFlags::NOEXEC);

/// Where EFI variables are shown.
pub(crate) const EFI_VARIABLES: &str = "/sys/firmware/efi/efivars";

/// Mounts the kernel's own file systems.
pub(crate) fn kernel() -> Result<()> {
    for (kind, path, flags, options) in KERNEL {
        fs::create_dir_all(path).map_err(Error::io("create", path))?;
        mount(kind, path, kind, flags, options)?;
    }
    Ok(())
}

/// Mounts efivarfs on a machine that started through UEFI; its module must be loaded. Returns whether it did.
pub(crate) fn efi_variables() -> Result<bool> {
    if !Path::new("/sys/firmware/efi").exists() {
        return Ok(false);
    }
    mount("efivarfs", EFI_VARIABLES, "efivarfs", SAFE, "")?;
    Ok(true)
}

/// Shows the kernel's file systems in the new root too. Here they stay mounted: the watcher goes on to use them.
pub(crate) fn kernel_in(root: &Path) -> Result<()> {
    for (_, path, _, _) in KERNEL {
        let target = root.join(path.trim_start_matches('/'));
        rustix::mount::mount_bind_recursive(path, &target)
            .map_err(Error::io("mount on", &target))?;
    }
    Ok(())
}

/// Mounts an overlay of `lowers`, topmost first, on `target`: with the directories for changes and for the kernel's use, or
/// read-only.
pub(crate) fn overlay(
    target: &Path,
    lowers: &[&Path],
    changes: Option<(&Path, &Path)>,
) -> Result<()> {
    let lowers: Vec<String> = lowers.iter().map(|it| it.display().to_string()).collect();
    let mut options = format!("lowerdir={}", lowers.join(":"));
    if let Some((upper, work)) = changes {
        let (upper, work) = (upper.display(), work.display());
        options = format!("{options},upperdir={upper},workdir={work}");
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("etc", target, "overlay", flags, &options)
}

/// An empty file system in memory on `path`.
pub(crate) fn memory(path: impl AsRef<Path>) -> Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("tmpfs", path, "tmpfs", flags, "mode=0755,size=50%")
}

/// Mounts `source` on `target`, naming both in the error.
pub(crate) fn mount(
    source: impl AsRef<Path>,
    target: impl AsRef<Path>,
    kind: &str,
    flags: MountFlags,
    options: &str,
) -> Result<()> {
    let (source, target) = (source.as_ref(), target.as_ref());
    let options = CString::new(options).map_err(|_| Error::Unusable {
        path: target.to_path_buf(),
        reason: "has mount options with a NUL".to_owned(),
    })?;
    rustix::mount::mount(source, target, kind, flags, options.as_c_str())
        .map_err(|error| Error::io("mount", source)(error))
}
