use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::Path;

use bedstone_disk::storage::ReadAt;
use bedstone_disk::verity::{RootArguments, Superblock};
use bedstone_sys::dm;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::mount::MountFlags;

use crate::disk::Partition;
use crate::error::{Error, Result};
use crate::slot::Slot;

/// The device-mapper name of the root, and where it is mounted.
pub(crate) const NAME: &str = "root";
pub(crate) const MOUNTED: &str = "/sysroot";

/// What is said of a root of which a corrupt block has been read.
pub(crate) const CORRUPT: &str = "a block differs from what is signed";

/// The programs that a root file system may start with.
pub(crate) const PROGRAMS: [&str; 2] = ["/sbin/init", "/lib/systemd/systemd"];

/// Whether a partition holds the image that the command line announces, by the superblock of its hash tree.
pub(crate) fn holds(partition: &Partition, root: &RootArguments) -> bool {
    check_superblock(partition, root).is_ok()
}

/// Opens the root file system of `slot` through dm-verity and mounts it read-only; returns the device's name (`dm-0`).
///
/// Every block is checked as it is read; one that differs reads as an error (`EIO`) and makes the kernel tell the
/// [watcher](crate::watcher).
pub(crate) fn open(slot: Slot, partition: &Partition, root: &RootArguments) -> Result<String> {
    let fail = |reason: String| Error::Root {
        slot,
        device: partition.path.display().to_string(),
        reason,
    };
    check_superblock(partition, root).map_err(&fail)?;
    let control = dm::Control::open().map_err(Error::io("open", "/dev/mapper/control"))?;
    let uuid = root.uuid.to_string().replace('-', "");
    let (_, minor) = control
        .create_read_only(
            NAME,
            &format!("CRYPT-VERITY-{uuid}-{NAME}"),
            &table(partition, root),
        )
        .map_err(|error| fail(format!("dm-verity: {error}")))?;
    let name = format!("dm-{minor}");
    let link = Path::new("/dev/mapper").join(NAME);
    std::os::unix::fs::symlink(Path::new("..").join(&name), &link)
        .map_err(Error::io("create", &link))?;
    Ok(name)
}

/// Mounts what [`open`] opened.
pub(crate) fn mount(
    slot: Slot,
    partition: &Partition,
    device: &str,
    root: &RootArguments,
) -> Result<()> {
    let fail = |reason: String| Error::Root {
        slot,
        device: partition.path.display().to_string(),
        reason,
    };
    fs::create_dir_all(MOUNTED).map_err(Error::io("create", MOUNTED))?;
    // A journal cannot be replayed on a verified device; the builder leaves none that would have to be.
    let options = match root.file_system.as_str() {
        "ext4" => Some(c"noload"),
        _ => None,
    };
    let path = Path::new("/dev").join(device);
    rustix::mount::mount(
        &path,
        MOUNTED,
        root.file_system.as_str(),
        MountFlags::RDONLY,
        options,
    )
    .map_err(|error| format!("cannot mount {}: {error}", root.file_system))
    .and_then(|()| match program(Path::new(MOUNTED)) {
        Some(_) => Ok(()),
        None => Err(format!("it has none of {}", PROGRAMS.join(", "))),
    })
    .map_err(|reason| match is_corrupt() {
        Ok(true) => fail(CORRUPT.to_owned()),
        _ => fail(reason),
    })
}

/// Whether dm-verity has met a corrupt block of the root.
pub(crate) fn is_corrupt() -> Result<bool> {
    let status = dm::Control::open().and_then(|control| control.status(NAME));
    let status = status.map_err(Error::io("ask", "/dev/mapper/control"))?;
    Ok(status.starts_with('C'))
}

/// The program to start in the root at `root`: the first of [`PROGRAMS`] that can be read to its end.
pub(crate) fn program(root: &Path) -> Option<&'static str> {
    let directory = File::open(root).ok()?;
    PROGRAMS.into_iter().find(|program| {
        // Links are resolved as they will be after the change of root.
        let file = rustix::fs::openat2(
            &directory,
            *program,
            OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::IN_ROOT,
        );
        let Ok(file) = file.map(File::from) else {
            return false;
        };
        let executable = file.metadata().is_ok_and(|metadata| {
            use std::os::unix::fs::PermissionsExt;
            metadata.is_file() && metadata.permissions().mode() & 0o111 != 0
        });
        executable && std::io::copy(&mut &file, &mut std::io::sink()).is_ok()
    })
}

fn check_superblock(partition: &Partition, root: &RootArguments) -> Result<(), String> {
    let announced = root.superblock();
    let blocks =
        announced.hash_start_block(root.hash_offset) + announced.levels().iter().sum::<u64>();
    let end = blocks.saturating_mul(u64::from(announced.hash_block_size));
    if end > partition.size {
        return Err(format!(
            "the image needs {end} bytes, the partition has {}",
            partition.size
        ));
    }
    let mut bytes = [0; Superblock::SIZE];
    File::open(&partition.path)
        .and_then(|file| ReadAt::read_exact_at(&file, &mut bytes, root.hash_offset))
        .map_err(|error| format!("cannot read its hash tree: {error}"))?;
    let found = Superblock::from_bytes(&bytes).map_err(|error| error.to_string())?;
    if found.uuid != announced.uuid {
        let (found, announced) = (found.uuid, announced.uuid);
        return Err(format!(
            "it is image {found}, the signed command line announces {announced}"
        ));
    }
    if found != announced {
        return Err("its hash tree has other parameters than the signed command line".to_owned());
    }
    Ok(())
}

/// The device-mapper table (Linux `Documentation/admin-guide/device-mapper/verity.rst`). Only what is signed goes into
/// it. Without an optional argument a corrupt block is an I/O error.
fn table(partition: &Partition, root: &RootArguments) -> dm::Target {
    let superblock = root.superblock();
    let mut salt = String::new();
    for byte in &superblock.salt {
        // Writing to a string cannot fail.
        let _ = write!(salt, "{byte:02x}");
    }
    if salt.is_empty() {
        salt.push('-');
    }
    let device = &partition.device;
    dm::Target {
        sectors: superblock.data_blocks * u64::from(superblock.data_block_size) / 512,
        kind: "verity".to_owned(),
        parameters: format!(
            "1 {device} {device} {} {} {} {} sha256 {} {salt}",
            superblock.data_block_size,
            superblock.hash_block_size,
            superblock.data_blocks,
            superblock.hash_start_block(root.hash_offset),
            root.hash,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bedstone_disk::guid::Guid;
    use bedstone_store::Digest;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn root() -> RootArguments {
        RootArguments {
            hash: Digest::of(b"root"),
            salt: vec![0x0a, 0xff],
            data_blocks: 256,
            hash_offset: 256 * 4096,
            uuid: Guid::from_bytes([7; 16]),
            file_system: "erofs".to_owned(),
        }
    }

    fn partition(bytes: &[u8]) -> (tempfile::NamedTempFile, Partition) {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();
        let partition = Partition {
            path: file.path().to_path_buf(),
            device: "254:4".to_owned(),
            size: bytes.len() as u64,
        };
        (file, partition)
    }

    #[test]
    fn makes_the_kernels_table() {
        let (_file, partition) = partition(b"");
        let target = table(&partition, &root());
        assert_eq!(target.sectors, 2048);
        let hash = Digest::of(b"root");
        assert_eq!(
            target.parameters,
            format!("1 254:4 254:4 4096 4096 256 257 sha256 {hash} 0aff")
        );
    }

    #[test]
    fn takes_only_what_is_announced() {
        let root = root();
        let mut image = vec![0; 256 * 4096];
        image.extend(root.superblock().to_bytes().unwrap());
        image.resize(260 * 4096, 0);
        let (_file, good) = partition(&image);
        assert!(holds(&good, &root));
        let (_file, short) = partition(&image[..259 * 4096]);
        let reason = check_superblock(&short, &root).unwrap_err();
        assert!(reason.contains("needs 1064960 bytes"), "{reason}");
        let other = RootArguments {
            uuid: Guid::from_bytes([8; 16]),
            ..root.clone()
        };
        let reason = check_superblock(&good, &other).unwrap_err();
        assert!(
            reason.contains("the signed command line announces 08080808"),
            "{reason}"
        );
        let other = RootArguments {
            salt: vec![1],
            ..root
        };
        assert!(!holds(&good, &other));
        let (_file, blank) = partition(&vec![0; 260 * 4096]);
        assert!(!holds(&blank, &other));
    }

    #[test]
    fn finds_the_program_behind_absolute_links() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        assert_eq!(program(root), None);
        fs::create_dir_all(root.join("usr/lib/systemd")).unwrap();
        fs::create_dir_all(root.join("usr/sbin")).unwrap();
        symlink("usr/sbin", root.join("sbin")).unwrap();
        symlink("/usr/lib", root.join("lib")).unwrap();
        let systemd = root.join("usr/lib/systemd/systemd");
        fs::write(&systemd, b"").unwrap();
        assert_eq!(program(root), None);
        fs::set_permissions(&systemd, PermissionsExt::from_mode(0o755)).unwrap();
        assert_eq!(program(root), Some("/lib/systemd/systemd"));
        symlink("/lib/systemd/systemd", root.join("usr/sbin/init")).unwrap();
        assert_eq!(program(root), Some("/sbin/init"));
    }
}
