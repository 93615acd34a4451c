//! Changes to a disk behind its owner's back.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use bedstone_disk::fat::Volume;
use bedstone_disk::gpt::Partition;
use bedstone_disk::model::Disk;

fn partition(disk: &Path, name: &str) -> Partition {
    let disk = Disk::open(disk).unwrap();
    disk.table().partition(name).unwrap().clone()
}

fn open(disk: &Path) -> File {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(disk)
        .unwrap()
}

/// Flips one bit of the byte at `offset` of a partition.
pub fn flip(disk: &Path, name: &str, offset: u64) {
    let partition = partition(disk, name);
    assert!(offset < partition.size);
    let file = open(disk);
    let mut byte = [0];
    file.read_exact_at(&mut byte, partition.start + offset)
        .unwrap();
    byte[0] ^= 1;
    file.write_all_at(&byte, partition.start + offset).unwrap();
}

/// Fills a part of a partition with bytes that mean nothing.
pub fn scribble(disk: &Path, name: &str, offset: u64, length: usize) {
    let partition = partition(disk, name);
    let mut state = 0x2545_f491_u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    })
    .take(length)
    .collect();
    open(disk)
        .write_all_at(&noise, partition.start + offset)
        .unwrap();
}

/// The bytes of a partition.
pub fn content(disk: &Path, name: &str) -> Vec<u8> {
    let partition = partition(disk, name);
    let mut bytes = vec![0; usize::try_from(partition.size).unwrap()];
    open(disk)
        .read_exact_at(&mut bytes, partition.start)
        .unwrap();
    bytes
}

/// Reads a file of the FAT volume in a partition.
pub fn read_file(disk: &Path, name: &str, path: &str) -> Vec<u8> {
    Disk::open(disk)
        .unwrap()
        .read_file(name, path, 64 << 20)
        .unwrap()
}

/// Replaces a file of the FAT volume in a partition by another one of the same length.
pub fn replace_file(disk: &Path, name: &str, path: &str, bytes: &[u8]) {
    let opened = Disk::open(disk).unwrap();
    let window = opened.partition(name).unwrap();
    let writes = Volume::open(&window).unwrap().replace(path, bytes).unwrap();
    assert!(!writes.is_empty(), "{path} holds these bytes already");
    let start = partition(disk, name).start;
    let file = open(disk);
    for write in writes {
        file.write_all_at(&write.bytes, start + write.offset)
            .unwrap();
    }
}

/// Where the middle of a file's data lies in an erofs image, in bytes.
pub fn middle_in_erofs(image: &Path, path: &str) -> u64 {
    let output = Command::new("dump.erofs")
        .arg(format!("--path={path}"))
        .arg("-e")
        .arg(image)
        .output()
        .expect("apt-get install erofs-utils");
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    // `  12:  logical.. logical |  length :  physical..  physical |  length`
    let extents: Vec<u64> = text
        .lines()
        .filter_map(|line| {
            let physical = line.rsplit_once(" : ")?.1;
            physical.split_once("..")?.0.trim().parse().ok()
        })
        .collect();
    let middle = extents.get(extents.len() / 2);
    middle.unwrap_or_else(|| panic!("{path} has no extents: {text}")) + 100
}
