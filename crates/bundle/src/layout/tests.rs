#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

use super::*;

/// As [`crate::write()`] does it for every entry with a member.
fn with_digests(mut description: Description) -> Description {
    let section = &mut description.base;
    for list in [&mut section.images, &mut section.files] {
        for entry in list.iter_mut().flatten() {
            entry.sha256 = Some(bedstone_store::Digest::of(b""));
        }
    }
    description
}

#[test]
fn two_slots_follow_each_other() {
    let two = TwoSlots {
        version: "2".to_owned(),
        name: "demo".to_owned(),
        hardware: vec!["1.0".to_owned()],
        slots: Slots {
            roots: ["AA".to_owned(), "BB".to_owned()],
            boots: ["BOOT0".to_owned(), "BOOT1".to_owned()],
            kernel: "linux.efi".to_owned(),
        },
        root: "root.img".to_owned(),
        kernel: "linux.efi".to_owned(),
        boot_loader: Some(BootLoader {
            member: "boot.efi".to_owned(),
            partition: "ESP".to_owned(),
            path: "/EFI/BOOT/BOOTX64.EFI".to_owned(),
        }),
    };
    let description = two.describe();
    let text = with_digests(description.clone())
        .to_text(crate::description::Syntax::Libconfig)
        .unwrap();
    for line in [
        "\t\tdevice = \"C:BOOT0:linux.efi->AA,C:BOOT1:linux.efi->BB\";",
        "\t\tdevice = \"C:BOOT0:linux.efi->BOOT0,C:BOOT1:linux.efi->BOOT1\";",
        "\t\tdevice = \"/dev/disk/by-partuuid/ESP\";",
        "\thardware-compatibility: [\"1.0\"];",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let section = description.select(None, None);
    assert_eq!(section.entries().count(), 3);
    let without = TwoSlots {
        boot_loader: None,
        ..two
    };
    assert_eq!(without.describe().base.entries().count(), 2);
}
