#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

use bedstone_store::Digest;

use super::*;

/// As [`crate::write()`] does it for every entry with a member.
fn with_digests(mut description: Description) -> Description {
    let mut sections = vec![&mut description.base];
    for set in description.alternatives.values_mut() {
        sections.extend(set.alternatives.values_mut().map(|mode| &mut mode.section));
    }
    for section in sections {
        for list in [&mut section.images, &mut section.files] {
            for entry in list.iter_mut().flatten() {
                entry.sha256 = Some(Digest::of(b""));
            }
        }
    }
    description
}

fn two_slots(root: Root) -> TwoSlots {
    TwoSlots {
        version: "2".to_owned(),
        name: "demo".to_owned(),
        hardware: vec!["1.0".to_owned()],
        slots: Slots {
            roots: ["AA".to_owned(), "BB".to_owned()],
            boots: ["BOOT0".to_owned(), "BOOT1".to_owned()],
            kernel: "linux.efi".to_owned(),
        },
        root,
        kernel: "linux.efi".to_owned(),
        boot_loader: Some(BootLoader {
            member: "boot.efi".to_owned(),
            partition: "ESP".to_owned(),
            path: "/EFI/BOOT/BOOTX64.EFI".to_owned(),
        }),
    }
}

#[test]
fn two_slots_follow_each_other() {
    let two = two_slots(Root::Full("root.img".to_owned()));
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

fn image(size: u64) -> Image {
    Image {
        size,
        sha256: Digest::of(&size.to_le_bytes()),
    }
}

#[test]
fn differences_are_read_as_they_are_written() {
    for delta in [
        Delta::Rdiff {
            base: image(5),
            output: image(6),
        },
        Delta::Zchunk {
            url: "http://updates.example/demo.zck".to_owned(),
            output: image(7),
        },
    ] {
        let root = Root::Delta {
            member: "root.delta".to_owned(),
            delta: delta.clone(),
            full: Some("root.img".to_owned()),
        };
        let text = with_digests(two_slots(root).describe())
            .to_text(crate::description::Syntax::Libconfig)
            .unwrap();
        let description = Description::parse(text.as_bytes()).unwrap();
        let entry = |selection| {
            let section = description.select(None, selection);
            assert_eq!(section.entries().count(), 3, "{text}");
            section.images.unwrap().remove(0)
        };
        let base = entry(None);
        assert_eq!(base.filename.as_deref(), Some("root.delta"));
        assert_eq!(Delta::of(&base), Ok(Some(delta)));
        let full = entry(Some(FULL));
        assert_eq!(full.filename.as_deref(), Some("root.img"));
        assert_eq!(Delta::of(&full), Ok(None));

        for name in Delta::PROPERTIES {
            let mut less = base.clone();
            if less.properties.remove(name).is_some()
                && !["chainhandler", "zckloglevel"].contains(&name)
            {
                assert_eq!(
                    Delta::of(&less),
                    Err(format!("a delta without the property `{name}`"))
                );
            }
        }
        for (name, value) in [("chainhandler", "archive"), ("bedstone-output-size", "-1")] {
            let mut other = base.clone();
            let value = Property::One(value.to_owned());
            other.properties.insert(name.to_owned(), value);
            assert!(Delta::of(&other).is_err(), "{name}");
        }
    }
}
