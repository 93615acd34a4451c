use std::process::Command;

use proptest::prelude::*;

use super::*;
use crate::storage::WriteAt;
use bedstone_store::Digest;

fn table(disk_size: u64) -> Table {
    let seed = Digest::of(b"gpt tests");
    let partition = |number, name: &str, kind, start, size| Partition {
        number,
        kind,
        guid: Guid::derive(&seed, name),
        start,
        size,
        attributes: 0,
        name: name.to_owned(),
    };
    Table {
        disk: Guid::derive(&seed, "disk"),
        disk_size,
        partitions: vec![
            partition(1, "esp", Guid::EFI_SYSTEM, ALIGNMENT, ALIGNMENT),
            partition(2, "boot0", Guid::BASIC_DATA, 2 * ALIGNMENT, ALIGNMENT),
            partition(
                5,
                "größe-ß-€-😀",
                Guid::LINUX_DATA,
                3 * ALIGNMENT,
                ALIGNMENT,
            ),
        ],
    }
}

fn disk(table: &Table) -> Vec<u8> {
    let mut bytes = vec![0; table.disk_size as usize];
    bytes.write_all_at(&table.primary().unwrap(), 0).unwrap();
    let backup = table.backup().unwrap();
    bytes
        .write_all_at(&backup, table.disk_size - BACKUP_SIZE)
        .unwrap();
    bytes
}

const SIZE: u64 = 5 * ALIGNMENT;

#[test]
fn round_trips() {
    let table = table(SIZE);
    let found = Table::read(&disk(&table)).unwrap();
    assert_eq!(found.table, table);
    assert_eq!(found.copies, Copies::Both);
    assert_eq!(found.table.partition("boot0").unwrap().number, 2);
    assert!(matches!(
        found.table.partition("boot9"),
        Err(Error::Missing { .. })
    ));
}

#[test]
fn sgdisk_and_sfdisk_agree() {
    let table = table(SIZE);
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("disk");
    std::fs::write(&image, disk(&table)).unwrap();
    let run = |program: &str, package: &str, arguments: &[&str]| {
        let output = Command::new(program)
            .args(arguments)
            .arg(&image)
            .output()
            .unwrap_or_else(|error| panic!("{program}: {error}; apt-get install {package}"));
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(output.status.success(), "{program}: {text}");
        text
    };
    let text = run("sgdisk", "gdisk", &["-v"]);
    assert!(text.contains("No problems found"), "{text}");
    for problem in ["aution", "arning", "roblem:"] {
        assert!(!text.contains(problem), "{text}");
    }
    let text = run("sgdisk", "gdisk", &["-i", "5"]);
    // sgdisk shows each half of a surrogate pair by itself.
    assert!(text.contains("größe-ß-€-"), "{text}");
    assert!(
        text.contains(&table.partitions[2].guid.to_string().to_uppercase()),
        "{text}"
    );
    let text = run("sfdisk", "fdisk", &["--verify"]);
    assert!(text.contains("No errors detected"), "{text}");
    let text = run("sfdisk", "fdisk", &["--dump"]);
    assert!(
        text.contains(&format!("label-id: {}", table.disk).to_uppercase())
            || text.to_lowercase().contains(&table.disk.to_string()),
        "{text}"
    );
    assert!(
        text.contains("start=        4096, size=        2048"),
        "{text}"
    );
    assert!(text.contains("first-lba: 34\nlast-lba: 10206"), "{text}");
}

#[test]
fn recovers_from_the_backup() {
    let table = table(SIZE);
    for broken in [512 + 8, 512 + 40, 1024 + 3] {
        let mut bytes = disk(&table);
        bytes[broken] ^= 1;
        let found = Table::read(&bytes).unwrap();
        assert_eq!(found.table, table);
        assert!(matches!(found.copies, Copies::BackupOnly(_)), "{found:?}");
        let last = bytes.len() - 512;
        bytes[last] ^= 1;
        assert!(Table::read(&bytes).is_err());
    }
    let mut bytes = disk(&table);
    let last = bytes.len() - 512;
    bytes[last + 60] ^= 1;
    let found = Table::read(&bytes).unwrap();
    assert!(matches!(found.copies, Copies::PrimaryOnly(_)), "{found:?}");
}

#[test]
fn accepts_a_larger_disk() {
    let table = table(SIZE);
    let mut bytes = disk(&table);
    bytes.resize(bytes.len() + 12_345 * 512, 0);
    let found = Table::read(&bytes).unwrap();
    assert_eq!((found.table, found.copies), (table, Copies::Both));
}

#[test]
fn refuses_what_cannot_be() {
    let refused = |change: fn(&mut Table), reason: &str| {
        let mut table = table(SIZE);
        change(&mut table);
        let error = table.primary().unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
        assert!(table.backup().is_err());
    };
    refused(|t| t.partitions[1].start -= 512, "overlap");
    refused(|t| t.partitions[1].size += 1, "whole sectors");
    refused(|t| t.partitions[1].size = 0, "whole sectors");
    refused(|t| t.partitions[0].start = 512, "outside");
    refused(|t| t.partitions[2].size = 2 * ALIGNMENT, "outside");
    refused(|t| t.partitions[2].size = !511, "wraps");
    refused(|t| t.partitions[2].number = 2, "out of order");
    refused(|t| t.partitions[2].number = 129, "limit");
    refused(|t| t.partitions[2].name = "x".repeat(37), "36 UTF-16");
    refused(|t| t.partitions[2].guid = Guid::NIL, "nil");
    refused(|t| t.disk_size -= 1, "disk size");
    refused(|t| t.disk_size = 512, "disk size");
}

/// Gives the header in `sector` and the entries behind it correct CRCs after a test has altered them.
fn seal(bytes: &mut [u8]) {
    let entries = crc32fast::hash(&bytes[1024..1024 + 16384]);
    bytes[512 + 88..512 + 92].copy_from_slice(&entries.to_le_bytes());
    bytes[512 + 16..512 + 20].fill(0);
    let header = crc32fast::hash(&bytes[512..512 + 92]);
    bytes[512 + 16..512 + 20].copy_from_slice(&header.to_le_bytes());
}

#[test]
fn checks_more_than_checksums() {
    let good = disk(&table(SIZE));
    let refused = |at: usize, field: &[u8], reason: &str| {
        let mut bytes = good.clone();
        bytes[at..at + field.len()].copy_from_slice(field);
        seal(&mut bytes);
        let Copies::BackupOnly(why) = Table::read(&bytes).unwrap().copies else {
            panic!("accepted a primary with {reason}");
        };
        assert!(why.contains(reason), "{why}");
    };
    refused(512 + 24, &[2], "another sector");
    refused(512 + 32, &[0xff; 8], "beyond the disk");
    refused(512 + 40, &[33], "usable sectors");
    refused(512 + 72, &[3], "in their place");
    refused(512 + 80, &[127], "not 128");
    refused(1024 + 32, &[33, 0], "outside");
    refused(1024 + 40, &[0, 16], "overlap");
    refused(1024 + 40, &[0, 1], "ends before");
    refused(1024 + 56, &[0, 0xd8], "UTF-16");
    let mut bytes = good.clone();
    bytes[450] = 0x83;
    assert!(Table::read(&bytes).is_err());
}

proptest! {
    #[test]
    fn prefixes_and_flips_never_panic(length in 0..SIZE, at in 0_usize..1024 + 640, bit in 0_u8..8) {
        let mut bytes = disk(&table(SIZE));
        bytes[at] ^= 1 << bit;
        if let Ok(found) = Table::read(&bytes) {
            // The MBR's boot code and CHS fields and the header sector's tail carry nothing.
            prop_assert_eq!(found.table, table(SIZE));
        }
        bytes.truncate(length as usize);
        let _ = Table::read(&bytes);
    }

    #[test]
    fn sealed_nonsense_never_panics(at in 512_usize..1024 + 640, byte: u8) {
        let mut bytes = disk(&table(SIZE));
        bytes[at] = byte;
        seal(&mut bytes);
        let _ = Table::read(&bytes);
    }
}
