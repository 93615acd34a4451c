use std::os::unix::fs::MetadataExt;
use std::process::Command;

use bedstone_store::Digest;

use super::*;
use crate::bgenv;
use crate::bmap::{self, Bmap};
use crate::data_partition;
use crate::fat::Volume;
use crate::layout::{Parts, Sizes, Slot, standard};
use crate::model::Disk;

const MEBIBYTE: u64 = 1 << 20;

fn parts(directory: &Path) -> Parts {
    let root = directory.join("root.img");
    std::fs::write(&root, vec![0x5a; 3 << 20]).unwrap();
    let kernel = directory.join("linux.efi");
    std::fs::write(&kernel, vec![0x4b; 2_000_001]).unwrap();
    Parts {
        product: Digest::of(b"product"),
        time: 1_700_000_000,
        boot_loader: Content::Bytes(vec![0x4c; 100_000]),
        boot_loader_name: "BOOTX64.EFI".to_owned(),
        kernel: Content::File(kernel),
        root,
        watchdog_seconds: 60,
        sizes: Sizes {
            esp: MEBIBYTE,
            boot: 4 * MEBIBYTE,
            root: 5 * MEBIBYTE,
            data: 3 * MEBIBYTE,
        },
    }
}

fn run(program: &str, package: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; apt-get install {package}"));
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {text}");
    text
}

#[test]
fn the_standard_disk() {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("disk.img");
    let sizes = Sizes::for_parts(100_000, 2_000_001, 3 << 20, 100 * MEBIBYTE);
    let parts = Parts {
        sizes,
        ..parts(directory.path())
    };
    let plan = standard(&parts).unwrap();
    let made = assemble(&plan, &image).unwrap();
    let labels: Vec<&str> = made
        .partitions
        .iter()
        .map(|row| row.label.as_str())
        .collect();
    assert_eq!(
        labels,
        ["esp", "boot0", "boot1", "root-a", "root-b", "data"]
    );
    assert_eq!(made.size, image.metadata().unwrap().len());
    // 2 slots of 3 MiB and 2 MB each, and the tables; the rest is holes.
    assert!(image.metadata().unwrap().blocks() * 512 < 12 * MEBIBYTE);
    let text = run("sgdisk", "gdisk", &["-v", image.to_str().unwrap()]);
    assert!(text.contains("No problems found"), "{text}");

    let bytes = std::fs::read(&image).unwrap();
    for row in &made.partitions {
        assert!(row.start.is_multiple_of(MEBIBYTE) && row.size.is_multiple_of(MEBIBYTE));
        let content = &bytes[row.start as usize..][..row.content_length as usize];
        if row.label.starts_with("boot") || row.label == "esp" {
            assert_eq!(row.content_length, row.size);
            let volume = directory.path().join(&row.label);
            std::fs::write(&volume, content).unwrap();
            run("fsck.fat", "dosfstools", &["-n", volume.to_str().unwrap()]);
        }
    }
    let content = |row: &Row| &bytes[row.start as usize..][..row.content_length as usize];
    assert!(content(&made.partitions[3]) == content(&made.partitions[4]));
    assert_eq!(
        made.partitions[5].content_length,
        data_partition::HEAD as u64
    );

    let disk = Disk::open(&image).unwrap();
    assert_eq!(disk.table().disk, made.disk);
    for (slot, revision) in [(Slot::A, 2), (Slot::B, 1)] {
        let environment = disk.environment(slot).unwrap();
        let environment = bgenv::Environment::from_bytes(&environment).unwrap();
        assert_eq!(environment.revision, revision);
        assert_eq!(environment.state, bgenv::State::Ok);
        let label = format!("C:{}:linux.efi", slot.boot_label());
        assert_eq!(environment.kernel_file, label);
        let window = disk.partition(slot.boot_partition()).unwrap();
        let volume = Volume::open(&window).unwrap();
        let names: Vec<String> = volume
            .list("")
            .unwrap()
            .into_iter()
            .map(|e| e.name)
            .collect();
        assert_eq!(names, ["BGENV.DAT", "EFILABEL", "linux.efi"]);
        assert_eq!(volume.read("linux.efi", 1 << 30).unwrap().len(), 2_000_001);
    }
}

#[test]
fn the_same_bytes_for_any_number_of_threads() {
    let directory = tempfile::tempdir().unwrap();
    let plan = standard(&parts(directory.path())).unwrap();
    let images = [1, 2, 5].map(|threads| {
        let image = directory.path().join(format!("disk{threads}"));
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let made = pool.install(|| assemble(&plan, &image)).unwrap();
        let bmap = Bmap::new(&File::open(&image).unwrap(), &made.mapped).unwrap();
        let digest = Digest::of(&std::fs::read(&image).unwrap());
        (digest, made, bmap.to_xml())
    });
    assert_eq!(images[0], images[1]);
    assert_eq!(images[0], images[2]);
}

#[test]
fn a_used_device_becomes_like_the_image() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let plan = standard(&parts(directory.path())).unwrap();
    let made = assemble(&plan, &path("disk")).unwrap();
    let bmap = Bmap::new(&File::open(path("disk")).unwrap(), &made.mapped).unwrap();
    // A device that held something else: what the map leaves out stays, what counts does not. bmaptool itself would
    // truncate a regular file.
    let image = std::fs::read(path("disk")).unwrap();
    let mut device = vec![0xa5; image.len()];
    for range in &bmap.ranges {
        let end = ((range.last + 1) * bmap::BLOCK).min(bmap.image_size);
        let range = (range.first * bmap::BLOCK) as usize..end as usize;
        device[range.clone()].copy_from_slice(&image[range]);
    }
    for range in &made.mapped {
        let range = range.start as usize..range.end as usize;
        assert!(device[range.clone()] == image[range]);
    }
    let data = &made.partitions[5];
    // What the device held there before is gone: head and tail are what the image has.
    let bytes = &device[data.start as usize..][..data.size as usize];
    let (head, rest) = bytes.split_at(data_partition::HEAD);
    let (between, tail) = rest.split_at(rest.len() - data_partition::TAIL as usize);
    assert!(tail.iter().all(|byte| *byte == 0));
    assert!(between.iter().all(|byte| *byte == 0xa5));
    assert_eq!(
        data_partition::judge(head, &tail[tail.len() - data_partition::TAIL_MARK..]),
        data_partition::Content::Blank
    );
    let disk = Disk::new(device).unwrap();
    for slot in Slot::ALL {
        bgenv::Environment::from_bytes(&disk.environment(slot).unwrap()).unwrap();
        let name = slot.boot_partition();
        let volume = path(name);
        let row = made
            .partitions
            .iter()
            .find(|row| row.label == name)
            .unwrap();
        let kernel = disk.read_file(name, "linux.efi", 1 << 30).unwrap();
        assert!(kernel == vec![0x4b; 2_000_001]);
        let mut bytes = vec![0; row.size as usize];
        let window = disk.partition(name).unwrap();
        crate::storage::ReadAt::read_exact_at(&window, &mut bytes, 0).unwrap();
        std::fs::write(&volume, bytes).unwrap();
        run("fsck.fat", "dosfstools", &["-n", volume.to_str().unwrap()]);
    }
}

#[test]
fn refuses_what_does_not_fit_and_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out");
    std::fs::create_dir(&out).unwrap();
    let parts = parts(directory.path());
    let refused = |change: &dyn Fn(&mut DiskPlan), reason: &str| {
        let mut plan = standard(&parts).unwrap();
        change(&mut plan);
        let error = assemble(&plan, &out.join("disk")).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
        assert_eq!(std::fs::read_dir(&out).unwrap().count(), 0);
    };
    refused(
        &|plan| plan.partitions[3].size = MEBIBYTE,
        "`root-a`: 3145728 bytes do not fit",
    );
    refused(
        &|plan| plan.partitions[1].size = 2 * MEBIBYTE,
        "`linux.efi`",
    );
    refused(
        &|plan| plan.partitions[1].label = "esp".to_owned(),
        "same name",
    );
    refused(
        &|plan| plan.partitions[1].guid = plan.partitions[0].guid,
        "same name or GUID",
    );
    refused(
        &|plan| plan.partitions[5].size = u64::MAX,
        "larger than any disk",
    );
    let absent = || PartitionContent::File("/nonexistent/file".into());
    refused(
        &|plan| plan.partitions[5].content = absent(),
        "/nonexistent/file",
    );
}

#[test]
fn bytes_and_rounding() {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("disk");
    let seed = Digest::of(b"x");
    let plan = DiskPlan {
        disk: Guid::derive(&seed, "disk"),
        partitions: vec![crate::layout::PartitionPlan {
            label: "only".to_owned(),
            kind: Guid::LINUX_DATA,
            guid: Guid::derive(&seed, "only"),
            size: 5,
            content: PartitionContent::Bytes(b"hello".to_vec()),
        }],
    };
    let made = assemble(&plan, &image).unwrap();
    assert_eq!(
        (made.size, made.partitions[0].size),
        (3 * MEBIBYTE, MEBIBYTE)
    );
    let bytes = std::fs::read(&image).unwrap();
    assert!(bytes[MEBIBYTE as usize..].starts_with(b"hello"));
    assert_eq!(made.mapped[1], MEBIBYTE..MEBIBYTE + 5);
}
