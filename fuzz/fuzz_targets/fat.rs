//! A FAT volume's first bytes; zeros follow up to 256 KiB.
#![no_main]

use bedstone_disk::fat::Volume;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut bytes = data.to_vec();
    bytes.resize(256 << 10, 0);
    let Ok(volume) = Volume::open(&bytes) else {
        return;
    };
    let _ = volume.label();
    let mut directories = vec![String::new()];
    let mut left = 64;
    while let Some(directory) = directories.pop() {
        for entry in volume.list(&directory).unwrap_or_default() {
            if left == 0 {
                return;
            }
            left -= 1;
            if let Ok(extents) = volume.extents(&entry) {
                let length: u64 = extents.iter().map(|extent| extent.length).sum();
                assert_eq!(length, u64::from(entry.size));
                assert!(
                    extents
                        .iter()
                        .all(|extent| extent.offset + extent.length <= 256 << 10)
                );
            }
            let path = format!("{directory}/{}", entry.name);
            let _ = volume.read(&path, 1 << 20);
            if entry.is_directory && path.len() < 80 {
                directories.push(path);
            }
        }
    }
});
