use std::io::Write;
use std::process::{Command, Stdio};

use super::*;
use crate::modules::fixture;

fn sample() -> Initramfs {
    let (_directory, kernel) = fixture::kernel(&[
        ("drivers/virtio_blk.ko.xz", "firmware=blk/one.bin"),
        ("drivers/md/dm-verity.ko", "depends=dm-mod"),
        ("drivers/md/dm-mod.ko", ""),
        ("fs/erofs.ko", ""),
        ("fs/ext4.ko", ""),
        ("fs/overlay.ko", ""),
    ]);
    let drivers = [Wanted::Module("virtio_blk".to_owned())];
    let wanted = modules(&drivers, RootFileSystem::Erofs, false);
    let selection = Selection::choose(&kernel, &wanted).unwrap();
    build(&Parts {
        init: &[7; 10_000],
        kernel: &kernel,
        modules: &selection,
        firmware: &[("blk/one.bin".to_owned(), b"firmware".to_vec())],
    })
    .unwrap()
}

fn through(program: &str, arguments: &[&str], package: &str, input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}: apt-get install {package}"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{program}");
    output.stdout
}

#[test]
fn other_tools_read_it() {
    let initramfs = sample();
    let archive = through("zstd", &["-dc"], "zstd", &initramfs.bytes);
    assert_eq!(archive.len() as u64, initramfs.archive_size);
    let names = through("cpio", &["-t"], "cpio", &archive);
    let names = String::from_utf8(names).unwrap();
    for (path, _) in &initramfs.files {
        assert!(names.lines().any(|name| name == path), "{path} in {names}");
    }
    assert!(names.lines().any(|name| name == "dev/console"));
    let order = through(
        "cpio",
        &["-i", "--to-stdout", "lib/modules/load"],
        "cpio",
        &archive,
    );
    let order = String::from_utf8(order).unwrap();
    assert_eq!(
        order,
        "virtio_blk\ndm_mod\ndm_verity dm_mod\nerofs\next4\noverlay\n"
    );
    assert!(names.contains("lib/firmware/blk/one.bin"));
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    assert_eq!(sample(), sample());
}

#[test]
fn ciphers_come_with_encryption_only() {
    let names = |encrypted| {
        let wanted = modules(&[], RootFileSystem::Ext4, encrypted);
        wanted.contains(&Wanted::Module("dm_crypt".to_owned()))
    };
    assert!(names(true) && !names(false));
}
