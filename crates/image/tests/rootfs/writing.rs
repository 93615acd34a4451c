//! File systems: same bytes again, and their checkers' approval.

use std::fs;
use std::path::Path;
use std::process::Command;

use bedstone_disk::guid::Guid;
use bedstone_image::manifest::{Compression, FileSystem};
use bedstone_image::rootfs::cache::CacheDirs;
use bedstone_image::rootfs::tools::{self, FileSystemImage};
use bedstone_store::Digest;

use crate::archive::{BOOKWORM, Set, TRIXIE};
use crate::building::{CALM, EPOCH, configure, finish, inside};

fn check(program: &str, arguments: &[&str], path: &Path, package: &str) {
    let output = Command::new(program)
        .args(arguments)
        .arg(path)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .unwrap_or_else(|error| {
            panic!("`{program}` does not run ({error}); `apt-get install {package}`")
        });
    assert!(
        output.status.success(),
        "{program}: {}",
        String::from_utf8_lossy(&output.stdout)
    );
}

/// Writes the set's tree twice in each format, from two caches with other numbers of jobs.
fn twice(set: &Set) {
    let directory = tempfile::tempdir().unwrap();
    let formats = [
        ("erofs", FileSystem::Erofs, Compression::Lz4),
        ("squashfs", FileSystem::Squashfs, Compression::Zstd),
        ("ext4", FileSystem::Ext4, Compression::None),
    ];
    let digests = [1, 2].map(|jobs| {
        let cache = CacheDirs::open(directory.path().join(format!("cache-{jobs}"))).unwrap();
        let tools = tools::tools(&set.tool_packages(), &cache, &CALM).unwrap();
        let rootfs = finish(&configure(&set.packages(), jobs, &cache), &cache);
        let view = rootfs.view(&cache).unwrap();
        formats.map(|(name, kind, compression)| {
            let output = directory.path().join(format!("{name}-{jobs}"));
            let image = FileSystemImage {
                kind,
                compression,
                uuid: Guid::derive(&Digest::of(b"test"), name),
                epoch: EPOCH,
                jobs,
                tree: view.path(),
                output: &output,
            };
            tools::write(&image, &tools, &cache, &CALM).unwrap();
            let file = fs::File::open(&output).unwrap();
            Digest::of_reader(&mut std::io::BufReader::new(file)).unwrap()
        })
    });
    assert_eq!(digests[0], digests[1]);
    check(
        "fsck.erofs",
        &[],
        &directory.path().join("erofs-1"),
        "erofs-utils",
    );
    check(
        "unsquashfs",
        &["-s"],
        &directory.path().join("squashfs-1"),
        "squashfs-tools",
    );
    check(
        "e2fsck",
        &["-f", "-n"],
        &directory.path().join("ext4-1"),
        "e2fsprogs",
    );
}

#[test]
fn bookworms_tools_write_the_same_bytes_again() {
    let name = "writing::bookworms_tools_write_the_same_bytes_again";
    inside(name, || drop(BOOKWORM.directory()), || twice(&BOOKWORM));
}

#[test]
fn trixies_tools_write_the_same_bytes_again() {
    let name = "writing::trixies_tools_write_the_same_bytes_again";
    inside(name, || drop(TRIXIE.directory()), || twice(&TRIXIE));
}
