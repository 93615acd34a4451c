//! Programs that write file systems, taken from the lock and run in a sandbox: the image's bytes depend on nothing that
//! happens to be installed on the machine that builds it.

mod copy;
pub mod kernel;

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use bedstone_disk::ext4;
use bedstone_disk::guid::Guid;
use bedstone_sys::mount;
use bedstone_sys::namespace::Access;

use super::Package;
use super::cache::{CacheDirs, TOOLS};
use super::session;
use super::unpacked::{self, Entry, Kind};
use crate::error::{Error, Result};
use crate::manifest::{Compression, FileSystem};

/// Changes whenever the form of a tools tree does.
const FORMAT: &str = "tools 1";
/// Where a writer sees the tree and the directory of its output.
const TREE: &str = "/run/bedstone/tree";
const OUTPUT: &str = "/run/bedstone/output";
/// The name of the output there.
const IMAGE: &str = "root.img";
/// Links of a merged `/usr`.
const MERGED: [&str; 4] = ["bin", "sbin", "lib", "lib64"];
/// Room in an ext4 file system beside the files: inode tables, bitmaps, directories.
const EXT4_OVERHEAD: u64 = 16 << 20;
const EXT4_BLOCK: u64 = 4096;
/// Bytes of an inode, and files per inode beside those that are there.
const EXT4_INODE: u64 = 256;

/// The file system to write.
#[derive(Debug, Clone, Copy)]
pub struct FileSystemImage<'a> {
    /// Which.
    pub kind: FileSystem,
    /// How it is compressed.
    pub compression: Compression,
    /// Its identifier.
    pub uuid: Guid,
    /// All times that the file system itself has, in seconds since 1970.
    pub epoch: i64,
    /// Processors that the writer may use; the bytes do not depend on it.
    pub jobs: usize,
    /// The tree, complete and readable by root of the namespace.
    pub tree: &'a Path,
    /// The file to write; its directory must exist.
    pub output: &'a Path,
}

/// The package whose program writes a file system.
pub fn writer(kind: FileSystem) -> &'static str {
    match kind {
        FileSystem::Erofs => "erofs-utils",
        FileSystem::Squashfs => "squashfs-tools",
        FileSystem::Ext4 => "e2fsprogs",
    }
}

/// Makes the tree that the packages' programs run in. Nothing is configured: the programs are called by their paths.
pub fn tools(packages: &[Package], cache: &CacheDirs, interrupt: &AtomicBool) -> Result<PathBuf> {
    let mut key = cache.key(FORMAT);
    for package in packages {
        key.add(package.digest.as_bytes());
    }
    let key = key.key();
    if let Some(path) = cache.find(TOOLS, &key)? {
        return Ok(path);
    }
    let _lock = cache.lock(&key)?;
    if let Some(path) = cache.find(TOOLS, &key)? {
        return Ok(path);
    }
    let begun = cache.begin(TOOLS, &key)?;
    for name in MERGED {
        directory(&begun.join("usr").join(name))?;
        let link = begun.join(name);
        symlink(Path::new("usr").join(name), &link).map_err(Error::io("create", link))?;
    }
    for name in ["proc", "dev", "tmp", "run", "etc"] {
        directory(&begun.join(name))?;
    }
    for package in packages {
        let (unpacked, _) = unpacked::obtain(package, cache, interrupt)?;
        for entry in &unpacked.entries {
            link(&unpacked.tree, entry, &begun)?;
        }
    }
    cache.publish(TOOLS, &key)
}

fn directory(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(Error::io("create directory", path))
}

fn link(from: &Path, entry: &Entry, to: &Path) -> Result<()> {
    let path = match entry.path.split_once('/') {
        Some((first, _)) if MERGED.contains(&first) => Path::new("usr").join(&entry.path),
        _ if MERGED.contains(&entry.path.as_str()) => return Ok(()),
        _ => PathBuf::from(&entry.path),
    };
    let target = to.join(path);
    if entry.kind == Kind::Directory {
        return directory(&target);
    }
    if let Some(parent) = target.parent() {
        directory(parent)?;
    }
    match fs::hard_link(from.join(&entry.path), &target) {
        // Two packages may share a file; dpkg would have made them agree, and no program needs it here.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other.map_err(Error::io("link", target)),
    }
}

/// Writes the file system with a program of the tools tree `tools`.
pub fn write(
    image: &FileSystemImage<'_>,
    tools: &Path,
    cache: &CacheDirs,
    interrupt: &AtomicBool,
) -> Result<()> {
    let scratch = cache.scratch()?;
    let output = scratch.directory("output")?;
    // mke2fs takes entries in the order in which the directory lists them; that of a memory file system depends only on
    // the order of creation, that of the host's disk on its hash seed. The other writers sort.
    let staging = match image.kind {
        FileSystem::Ext4 => {
            let target = scratch.directory("staging")?;
            let mounted = mount::memory(&target)?;
            copy::tree(image.tree, mounted.path())?;
            Some(mounted)
        }
        FileSystem::Erofs | FileSystem::Squashfs => None,
    };
    let tree = staging.as_ref().map_or(image.tree, mount::Mounted::path);
    let target = format!("{OUTPUT}/{IMAGE}");
    let (program, arguments) = command(image, tree, &target)?;
    let sandbox = session::sandbox(tools, image.epoch)
        // e2fsprogs before 1.47.1 knows only its own variable.
        .environment("E2FSPROGS_FAKE_TIME", image.epoch.to_string())
        .bind(tree, TREE, Access::ReadOnly)
        .bind(&output, OUTPUT, Access::Writable);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    session::run(&sandbox, program, program, &arguments, &[], interrupt)?;
    let made = output.join(IMAGE);
    if image.kind == FileSystem::Ext4 {
        ext4::set_times(&made, u32::try_from(image.epoch).unwrap_or(u32::MAX))?;
    }
    move_file(&made, image.output)
}

fn command(
    image: &FileSystemImage<'_>,
    tree: &Path,
    target: &str,
) -> Result<(&'static str, Vec<String>)> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let uuid = image.uuid.to_string();
    let epoch = image.epoch.to_string();
    Ok(match image.kind {
        FileSystem::Erofs => {
            let mut arguments: Vec<String> = words(&["-T", &epoch, "-U", &uuid]);
            let compression = match image.compression {
                Compression::None => None,
                Compression::Lz4 => Some("-zlz4"),
                Compression::Lz4hc => Some("-zlz4hc"),
                Compression::Zstd => Some("-zzstd"),
            };
            arguments.extend(compression.map(str::to_owned));
            arguments.extend([target.to_owned(), TREE.to_owned()]);
            ("/usr/bin/mkfs.erofs", arguments)
        }
        FileSystem::Squashfs => {
            let compression: &[&str] = match image.compression {
                Compression::None => &["-noI", "-noD", "-noF", "-noX"],
                Compression::Lz4 => &["-comp", "lz4"],
                Compression::Lz4hc => &["-comp", "lz4", "-Xhc"],
                Compression::Zstd => &["-comp", "zstd", "-Xcompression-level", "9"],
            };
            let jobs = image.jobs.to_string();
            let mut arguments: Vec<String> = words(&[
                TREE,
                target,
                "-noappend",
                "-no-progress",
                "-quiet",
                "-processors",
                &jobs,
            ]);
            arguments.extend(words(compression) as Vec<String>);
            // The times of all files are at most the epoch already; with `SOURCE_DATE_EPOCH` set, mksquashfs takes it for
            // the file system's own time.
            ("/usr/bin/mksquashfs", arguments)
        }
        FileSystem::Ext4 => {
            let (bytes, files) = copy::measure(tree)?;
            let inodes = files + files / 16 + 64;
            let size = (bytes + bytes / 50 + inodes * EXT4_INODE + EXT4_OVERHEAD)
                .next_multiple_of(1 << 20);
            let blocks = (size / EXT4_BLOCK).to_string();
            let inodes = inodes.to_string();
            let extended = format!("hash_seed={uuid},root_owner=0:0");
            // The hash tree below protects every block: no journal, no checksums, nothing reserved.
            let arguments = words(&[
                "-q",
                "-F",
                "-t",
                "ext4",
                "-L",
                "root",
                "-U",
                &uuid,
                "-m",
                "0",
                "-b",
                "4096",
                "-I",
                "256",
                "-N",
                &inodes,
                "-O",
                "^has_journal,^metadata_csum,^resize_inode",
                "-E",
                &extended,
                "-d",
                TREE,
                target,
                &blocks,
            ]);
            ("/usr/sbin/mke2fs", arguments)
        }
    })
}

/// Within one file system a rename, else a copy that appears whole.
fn move_file(from: &Path, to: &Path) -> Result<()> {
    if fs::rename(from, to).is_ok() {
        return Ok(());
    }
    let mut source = fs::File::open(from).map_err(Error::io("open", from))?;
    let mut file = bedstone_store::atomic::AtomicFile::create(to)?;
    io::copy(&mut source, file.file()).map_err(Error::io("write", to))?;
    Ok(file.commit()?)
}
