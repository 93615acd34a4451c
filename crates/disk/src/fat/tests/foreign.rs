//! Volumes made by dosfstools and mtools.

use super::*;

#[test]
fn reads_fragmented_volumes_of_other_tools() {
    let cases = [("12", 2_u64, 1), ("16", 32, 2), ("32", 64, 1)];
    for (bits, megabytes, per_cluster) in cases {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("volume");
        let image = path.to_str().unwrap();
        File::create(&path)
            .unwrap()
            .set_len(megabytes << 20)
            .unwrap();
        let per_cluster = per_cluster.to_string();
        let arguments = ["-F", bits, "-s", &per_cluster, "-n", "BOOT0", image];
        run("mkfs.vfat", "dosfstools", &arguments);

        // Small files with every second one removed leave holes for the large file to be scattered over.
        let put = |name: &str, bytes: &[u8]| {
            let source = directory.path().join("source");
            std::fs::write(&source, bytes).unwrap();
            let target = format!("::{name}");
            run(
                "mcopy",
                "mtools",
                &["-i", image, source.to_str().unwrap(), &target],
            );
        };
        let names: Vec<String> = (0..12).map(|number| format!("small{number}.txt")).collect();
        for name in &names {
            put(name, &[7; 3000]);
        }
        for name in names.iter().step_by(2) {
            run("mdel", "mtools", &["-i", image, &format!("::{name}")]);
        }
        let large: Vec<u8> = (0..150_000_u32).map(|i| (i / 7) as u8).collect();
        run("mmd", "mtools", &["-i", image, "::sub directory"]);
        put("sub directory/Größe.DAT", &large);

        let mut bytes = std::fs::read(&path).unwrap();
        let volume = Volume::open(&bytes).unwrap();
        let expected = match bits {
            "12" => Kind::Fat12,
            "16" => Kind::Fat16,
            _ => Kind::Fat32,
        };
        assert_eq!(volume.kind(), expected);
        assert_eq!(volume.label().unwrap().as_deref(), Some("BOOT0"));
        let name = "Sub Directory/größe.dat";
        assert!(volume.read(name, 1 << 20).unwrap() == large);
        assert_eq!(volume.list("").unwrap().len(), 7);
        assert!(volume.read("small0.txt", 9999).is_err());
        assert_eq!(volume.read("SMALL1.TXT", 9999).unwrap(), [7; 3000]);

        let mut changed = large.clone();
        changed.reverse();
        for write in volume.replace(name, &changed).unwrap() {
            write.apply(&mut bytes).unwrap();
        }
        std::fs::write(&path, &bytes).unwrap();
        let out = directory.path().join("out");
        let target = out.to_str().unwrap();
        run(
            "mcopy",
            "mtools",
            &["-i", image, "::sub directory/Größe.DAT", target],
        );
        assert!(std::fs::read(&out).unwrap() == changed);
        run("fsck.fat", "dosfstools", &["-n", image]);
    }
}

/// `mkfs.vfat -F 32` makes FAT32 of any size, and firmware and Linux read it as such.
#[test]
fn reads_small_fat32() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("volume");
    File::create(&path).unwrap().set_len(16 << 20).unwrap();
    let arguments = ["-F", "32", "-n", "ESP", path.to_str().unwrap()];
    run("mkfs.vfat", "dosfstools", &arguments);
    let bytes = std::fs::read(&path).unwrap();
    let volume = Volume::open(&bytes).unwrap();
    assert_eq!(volume.kind(), Kind::Fat32);
    assert_eq!(volume.label().unwrap().as_deref(), Some("ESP"));
    assert!(volume.list("").unwrap().is_empty());
}
