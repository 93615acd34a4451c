use super::*;
use crate::error::Error;
use proptest::prelude::*;
use std::path::Path;
use std::process::Command;

const OWNER: Guid = Guid::from_bytes([0x5a; 16]);

fn ovmf(name: &str) -> Vec<u8> {
    std::fs::read(format!("/usr/share/OVMF/{name}.fd")).expect("install Debian's package ovmf")
}

/// Any bytes do as a certificate for the formats; tools that look inside get a real one.
fn certificate(directory: &Path, name: &str) -> Vec<u8> {
    let path = |suffix: &str| {
        directory
            .join(format!("{name}{suffix}"))
            .display()
            .to_string()
    };
    let output = Command::new("openssl")
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30",
        ])
        .args(["-subj", &format!("/CN={name}"), "-outform", "DER"])
        .args(["-keyout", &path(".key"), "-out", &path(".der")])
        .output()
        .expect("install Debian's package openssl");
    assert!(output.status.success());
    std::fs::read(path(".der")).unwrap()
}

fn virt_fw_vars(arguments: &[&str]) -> String {
    let output = Command::new("virt-fw-vars")
        .args(arguments)
        .output()
        .expect("install virt-firmware: `pip install virt-firmware`, or Debian's package python3-virt-firmware");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn entries() -> Vec<LoadOption> {
    vec![
        LoadOption::active(
            "EFI Boot Guard",
            DevicePath::file(1, 2048, 32768, OWNER, "\\EFI\\BOOT\\BOOTX64.EFI"),
        ),
        LoadOption::active(
            "Bedstone slot B",
            DevicePath::file(3, 99_999, 98_304, OWNER, "\\linux.efi"),
        ),
    ]
}

#[test]
fn empty_stores_round_trip() {
    for name in ["OVMF_VARS_4M", "OVMF_VARS"] {
        let bytes = ovmf(name);
        let store = VariableStore::read(&bytes).unwrap();
        assert!(store.variables().is_empty());
        assert_eq!(store.write().unwrap(), bytes);
    }
}

#[test]
fn virt_fw_vars_reads_ours() {
    let directory = tempfile::tempdir().unwrap();
    let keys = ["pk", "kek", "db"].map(|name| certificate(directory.path(), name));
    let mut store = VariableStore::read(&ovmf("OVMF_VARS_4M")).unwrap();
    SecureBootKeys {
        owner: OWNER,
        pk: &keys[0],
        kek: &[&keys[1]],
        db: &[&keys[2]],
    }
    .enrol(&mut store)
    .unwrap();
    store.set_boot_entries(&entries()).unwrap();
    let file = directory.path().join("ours.fd").display().to_string();
    std::fs::write(&file, store.write().unwrap()).unwrap();
    let printed = virt_fw_vars(&["-i", &file, "--print", "--verbose"]);
    for part in [
        "name=PK guid=guid:EfiGlobalVariable",
        "name=KEK guid=guid:EfiGlobalVariable",
        "name=db guid=guid:EfiImageSecurityDatabase",
        "subject CN=pk",
        "subject CN=kek",
        "subject CN=db",
        "bool: ON",
        "boot order: 0000, 0001",
        "title=\"EFI Boot Guard\" devpath=Partition(nr=1)/FilePath(\\EFI\\BOOT\\BOOTX64.EFI)",
        "title=\"Bedstone slot B\" devpath=Partition(nr=3)/FilePath(\\linux.efi)",
    ] {
        assert!(printed.contains(part), "no `{part}` in:\n{printed}");
    }
}

#[test]
fn reads_what_virt_fw_vars_writes() {
    let directory = tempfile::tempdir().unwrap();
    let keys = ["pk", "kek", "db"].map(|name| certificate(directory.path(), name));
    let path = |name: &str| directory.path().join(name).display().to_string();
    let owner = OWNER.to_string();
    virt_fw_vars(&[
        "-i",
        "/usr/share/OVMF/OVMF_VARS_4M.fd",
        "-o",
        &path("theirs.fd"),
        "--set-pk",
        &owner,
        &path("pk.der"),
        "--add-kek",
        &owner,
        &path("kek.der"),
        "--add-db",
        &owner,
        &path("db.der"),
        "--no-microsoft",
        "--sb",
    ]);
    let theirs = std::fs::read(path("theirs.fd")).unwrap();
    let theirs = VariableStore::read(&theirs).unwrap();
    let mut ours = VariableStore::read(&ovmf("OVMF_VARS_4M")).unwrap();
    SecureBootKeys {
        owner: OWNER,
        pk: &keys[0],
        kek: &[&keys[1]],
        db: &[&keys[2]],
    }
    .enrol(&mut ours)
    .unwrap();
    let same = |store: &VariableStore| -> Vec<_> {
        store
            .variables()
            .iter()
            // They note an owner of their own in `dbx`, and the certificate's date as the time.
            .map(|v| {
                let data = if v.name == "dbx" {
                    &v.data[44..]
                } else {
                    &v.data[..]
                };
                (v.name.clone(), v.vendor, v.attributes, data.to_vec())
            })
            .collect()
    };
    assert_eq!(same(&ours), same(&theirs));
    let db = theirs.get("db", IMAGE_SECURITY).unwrap();
    let list = signature_list::decode(&db.data).unwrap();
    assert_eq!(list.len(), 1);
    assert_eq!((list[0].kind, list[0].owner), (signature_list::X509, OWNER));
    assert_eq!(list[0].data, keys[2]);
}

#[test]
fn reads_a_store_that_firmware_has_used() {
    let bytes = ovmf("OVMF_VARS_4M.snakeoil");
    let store = VariableStore::read(&bytes).unwrap();
    let options: Vec<_> = store
        .variables()
        .iter()
        .filter(|v| v.vendor == GLOBAL && boot_order::entry(&v.name).is_some())
        .collect();
    assert_eq!(options.len(), 3);
    for variable in options {
        let option = LoadOption::decode(&variable.data).unwrap();
        assert_eq!(option.encode().unwrap(), variable.data);
    }
    assert_eq!(store.get("PK", GLOBAL).unwrap().data.len(), 935);
    let again = store.write().unwrap();
    assert_eq!(VariableStore::read(&again).unwrap(), store);
}

#[test]
fn order_of_setting_does_not_show() {
    let variable = |name: &str, data: &[u8]| Variable {
        name: name.to_owned(),
        vendor: GLOBAL,
        attributes: attributes::BOOT_ENTRY,
        timestamp: Timestamp::default(),
        data: data.to_vec(),
    };
    let mut one = VariableStore::read(&ovmf("OVMF_VARS_4M")).unwrap();
    let mut two = one.clone();
    one.set(variable("A", b"old"));
    one.set(variable("B", b"b"));
    one.set(variable("A", b"a"));
    two.set(variable("C", b"c"));
    two.set(variable("B", b"b"));
    two.set(variable("A", b"a"));
    assert!(two.remove("C", GLOBAL));
    assert!(!two.remove("C", GLOBAL));
    assert_eq!(one.write().unwrap(), two.write().unwrap());
    one.set(variable("Big", &vec![0; 1 << 20]));
    assert!(matches!(one.write(), Err(Error::VariableStoreFull { .. })));
}

#[test]
fn refuses_damage_with_its_place() {
    let good = ovmf("OVMF_VARS_4M.snakeoil");
    for (at, value, part) in [
        (16, 0, "variable volume"),
        (50, 0, "Checksum"),
        (72, 0, "authenticated"),
        (72 + 19, 0xff, "`Size`"),
        (72 + 20, 0, "healthy"),
    ] {
        let mut bad = good.clone();
        bad[at] = value;
        let error = VariableStore::read(&bad).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    assert!(VariableStore::read(&good[..1000]).is_err());
    assert!(VariableStore::read(&[]).is_err());
}

#[test]
fn one_in_transition_counts_until_its_successor_does() {
    let mut store = VariableStore::read(&ovmf("OVMF_VARS_4M")).unwrap();
    store.set_boot_entries(&entries()).unwrap();
    let first = &store.variables()[0];
    let mut bytes = store.write().unwrap();
    bytes[100 + 2] = 0x3e;
    let again = VariableStore::read(&bytes).unwrap();
    assert_eq!(again.get(&first.name, first.vendor), Some(first));
    bytes[100 + 2] = 0x3c;
    let deleted = VariableStore::read(&bytes).unwrap();
    assert_eq!(deleted.get(&first.name, first.vendor), None);
    assert_eq!(deleted.variables().len(), 2);
}

#[test]
fn load_option_golden() {
    // Put together by hand from UEFI 2.10 §3.1.3 and §10.3.5.
    let option = LoadOption::active(
        "Test",
        DevicePath::file(1, 0x800, 0x8000, Guid::EFI_SYSTEM, "\\a.efi"),
    );
    let hex = "0100000040005400650073007400000004012a0001000000000800000000000000800000000000002873\
               2ac11ff8d211ba4b00a0c93ec93b0202040412005c0061002e0065006600690000007fff0400";
    let golden: Vec<u8> = (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect();
    assert_eq!(option.encode().unwrap(), golden);
    assert_eq!(
        LoadOption::decode(&option.encode().unwrap()).unwrap(),
        option
    );
}

#[test]
fn boot_entry_names() {
    assert_eq!(boot_order::name(0x1a), "Boot001A");
    assert_eq!(boot_order::entry("Boot001A"), Some(0x1a));
    for other in ["BootNext", "BootOrder", "Boot001a", "Boot1", "Boot+001"] {
        assert_eq!(boot_order::entry(other), None, "{other}");
    }
    assert!(boot_order::decode(&[1]).is_err());
}

#[test]
fn efivarfs_forms() {
    assert_eq!(
        efivarfs::file_name("BootNext", GLOBAL),
        "BootNext-8be4df61-93ca-11d2-aa0d-00e098032b8c"
    );
    let content = efivarfs::encode(attributes::BOOT_ENTRY, &boot_order::encode(&[2]));
    assert_eq!(content, [7, 0, 0, 0, 2, 0]);
    assert_eq!(efivarfs::decode(&content).unwrap(), (7, &[2, 0][..]));
    assert!(efivarfs::decode(&[7, 0]).is_err());
    let value: Vec<u8> = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B\0"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert_eq!(efivarfs::partition(&value).unwrap(), Guid::EFI_SYSTEM);
    assert!(efivarfs::partition(&value[..20]).is_err());
}

fn node() -> impl Strategy<Value = Node> {
    prop_oneof![
        (any::<u32>(), any::<u64>(), any::<u64>(), any::<[u8; 16]>()).prop_map(
            |(number, start, size, guid)| Node::HardDrive {
                number,
                start,
                size,
                partition: Guid::from_bytes(guid)
            }
        ),
        "[ -~]{0,40}".prop_map(Node::FilePath),
        (0_u8..4, any::<u8>(), any::<Vec<u8>>()).prop_map(|(kind, subtype, data)| Node::Other {
            kind,
            subtype,
            data
        }),
    ]
}

proptest! {
    #[test]
    fn load_options_round_trip(
        attributes: u32,
        description in "[ -~äß€]{0,30}",
        nodes in prop::collection::vec(node(), 0..5),
        optional_data: Vec<u8>,
    ) {
        let option = LoadOption { attributes, description, path: DevicePath(nodes), optional_data };
        prop_assert_eq!(LoadOption::decode(&option.encode().unwrap()).unwrap(), option);
    }

    #[test]
    fn any_bytes(bytes: Vec<u8>) {
        let _ = LoadOption::decode(&bytes);
        let _ = DevicePath::decode(&bytes);
        let _ = signature_list::decode(&bytes);
        let _ = efivarfs::decode(&bytes);
        let _ = efivarfs::partition(&bytes);
        let _ = VariableStore::read(&bytes);
    }

    #[test]
    fn altered_stores(flips in prop::collection::vec((0_usize..3000, any::<u8>()), 1..8)) {
        let mut store = VariableStore::read(&ovmf("OVMF_VARS_4M")).unwrap();
        store.set_boot_entries(&entries()).unwrap();
        let mut bytes = store.write().unwrap();
        for (at, value) in flips {
            bytes[at] = value;
        }
        if let Ok(read) = VariableStore::read(&bytes)
            && let Ok(written) = read.write()
        {
            prop_assert_eq!(VariableStore::read(&written).unwrap(), read);
        }
    }
}
