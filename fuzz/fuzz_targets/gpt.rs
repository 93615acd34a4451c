//! A disk's first sectors, as they are and with correct CRCs; zeros follow up to 64 KiB.
#![no_main]

use bedstone_disk::gpt::Table;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut disk = data.to_vec();
    disk.resize(64 << 10, 0);
    check(&disk);
    let entries = crc32fast::hash(&disk[1024..1024 + 16_384]);
    disk[600..604].copy_from_slice(&entries.to_le_bytes());
    disk[528..532].fill(0);
    let header = crc32fast::hash(&disk[512..512 + 92]);
    disk[528..532].copy_from_slice(&header.to_le_bytes());
    check(&disk);
});

/// What was read must be writable, and read back the same.
fn check(disk: &Vec<u8>) {
    if let Ok(found) = Table::read(disk) {
        let table = found.table;
        let mut again = vec![0; table.disk_size as usize];
        let primary = table.primary().unwrap();
        again[..primary.len()].copy_from_slice(&primary);
        assert_eq!(Table::read(&again).unwrap().table, table);
    }
}
