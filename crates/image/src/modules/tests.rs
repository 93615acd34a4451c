use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::fixture::{elf, kernel};
use super::*;

fn module(name: &str) -> Wanted {
    Wanted::Module(name.to_owned())
}

#[test]
fn follows_dependencies_in_load_order() {
    let (_directory, kernel) = kernel(&[
        (
            "fs/ext4/ext4.ko",
            "depends=mbcache,jbd2 softdep=pre:+crc32c",
        ),
        ("fs/mbcache.ko.xz", "depends="),
        ("fs/jbd2/jbd2.ko.zst", "license=GPL"),
        (
            "crypto/crc32c_generic.ko",
            "alias=crypto-crc32c alias=crc32c",
        ),
        ("arch/x86/crypto/crc32c-intel.ko", "alias=crc32c"),
        ("net/other.ko", ""),
    ]);
    let selection = Selection::choose(&kernel, &[module("ext4"), module("ext4")]).unwrap();
    let names: Vec<_> = selection.names().collect();
    assert_eq!(
        names,
        ["mbcache", "jbd2", "crc32c_generic", "crc32c_intel", "ext4"]
    );
    let needs: Vec<_> = selection.needs("ext4").collect();
    assert_eq!(needs, ["mbcache", "jbd2", "crc32c_generic", "crc32c_intel"]);
    assert!(selection.keeps(Path::new("kernel/fs/mbcache.ko.xz")));
    assert!(selection.keeps(Path::new("modules.builtin")));
    assert!(!selection.keeps(Path::new("kernel/net/other.ko")));
}

#[test]
fn tells_what_is_missing() {
    let (_directory, kernel) = kernel(&[("a.ko", "depends=b")]);
    let error = Selection::choose(&kernel, &[module("a")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "kernel 6.1.0-test has no module `b`, which `a` needs"
    );
    let error = Selection::choose(&kernel, &[Wanted::Directory("drivers".into())]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "kernel 6.1.0-test has no modules below `drivers`"
    );
    let optional = [
        Wanted::IfPresent("aesni_intel".into()),
        module("sha256_generic"),
        module("crypto-sha256"),
    ];
    let selection = Selection::choose(&kernel, &optional).unwrap();
    assert_eq!(selection.names().count(), 0);
}

#[test]
fn tells_circles() {
    let (_directory, circle) = kernel(&[("a.ko", "depends=b"), ("b.ko", "depends=a")]);
    let error = Selection::choose(&circle, &[module("a")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the kernel modules a, b, a depend on each other"
    );
    let (_directory, soft) = kernel(&[("a.ko", "softdep=pre:+b"), ("b.ko", "softdep=post:+a")]);
    let selection = Selection::choose(&soft, &[module("a")]).unwrap();
    assert_eq!(selection.names().collect::<Vec<_>>(), ["b", "a"]);
}

#[test]
fn takes_directories_and_firmware() {
    let (_directory, kernel) = kernel(&[
        (
            "drivers/net/wifi/x.ko",
            "firmware=wifi/x-1.bin firmware=wifi/x-*.pnvm depends=mac",
        ),
        ("net/mac.ko", ""),
        ("drivers/network.ko", ""),
    ]);
    let selection =
        Selection::choose(&kernel, &[Wanted::Directory("drivers/net/".into())]).unwrap();
    assert_eq!(selection.names().collect::<Vec<_>>(), ["mac", "x"]);
    assert_eq!(selection.firmware().count(), 2);
    for (path, wanted) in [
        ("wifi/x-1.bin", true),
        ("wifi/x-1.bin.xz", true),
        ("wifi/x-2.bin", false),
        ("wifi/x-abc.pnvm.zst", true),
        ("wifi/../wifi/x-1.bin", false),
    ] {
        assert_eq!(selection.wants_firmware(Path::new(path)), wanted, "{path}");
    }
}

#[test]
fn refuses_what_is_no_module() {
    let (directory, kernel) = kernel(&[("a.ko", "")]);
    let path = directory.path().join("6.1.0-test/kernel/a.ko");
    for (bytes, reason) in [
        (b"no".to_vec(), "it does not begin as an ELF file"),
        (
            elf(b"")[..70].to_vec(),
            "its section names lie outside the file",
        ),
    ] {
        fs::write(&path, bytes).unwrap();
        let error = Selection::choose(&kernel, &[module("a")]).unwrap_err();
        assert!(error.to_string().ends_with(reason), "{error}");
    }
}

proptest! {
    #[test]
    fn modinfo_round_trips(entries in prop::collection::vec(("[a-z]{1,8}", "[ -~]{0,20}"), 0..10)) {
        let mut section = Vec::new();
        let mut expected = BTreeMap::<&str, Vec<String>>::new();
        for (key, value) in &entries {
            section.extend_from_slice(format!("{key}={value}\0").as_bytes());
            expected.entry(key).or_default().push(value.clone());
        }
        let info = ModuleInfo::from_elf(&elf(&section)).unwrap();
        prop_assert_eq!(info.aliases, expected.remove("alias").unwrap_or_default());
        prop_assert_eq!(info.firmware, expected.remove("firmware").unwrap_or_default());
    }

    #[test]
    fn altered_modules_never_panic(at in 0_usize..400, byte: u8, cut in 0_usize..400) {
        let mut file = elf(b"name=x\0depends=a,b\0softdep=pre: c post: d\0alias=e\0");
        let at = at % file.len();
        file[at] = byte;
        let _ = ModuleInfo::from_elf(&file);
        let _ = ModuleInfo::from_elf(&file[..cut.min(file.len())]);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
        let _ = ModuleInfo::from_elf(&bytes);
        let _ = ModuleInfo::parse(&bytes);
    }
}
