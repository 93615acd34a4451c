//! OVMF with Secure Boot and our own keys.

use std::fs;
use std::path::{Path, PathBuf};

use bedstone_disk::authenticode::{self, RsaKey};
use bedstone_disk::efi_variables::SecureBootKeys;
use bedstone_disk::guid::Guid;
use bedstone_disk::uki;
use bedstone_lab::Device;
use bedstone_lab::firmware::write_variables;
use bedstone_lab::qemu::{Drive, Firmware, Qemu, QemuConfig};
use bedstone_lab::snapshot::Recipe;
use bedstone_store::Digest;

use crate::guest::{BOOT, COMMAND, Work, guest, tool};

const STUB: &str = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub";

struct Keys {
    certificate: Vec<u8>,
    signer: RsaKey,
}

fn keys(directory: &Path) -> Keys {
    let subject = ["-subj", "/CN=lab test"];
    let new = [
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.der",
    ];
    let arguments = [&new[..], &["-outform", "DER", "-days", "30"], &subject].concat();
    tool("openssl", directory, "openssl", &arguments);
    let certificate = fs::read(directory.join("cert.der")).unwrap();
    let key = fs::read(directory.join("key.pem")).unwrap();
    let signer = RsaKey::new(&key, &certificate).unwrap();
    Keys {
        certificate,
        signer,
    }
}

fn unified_kernel() -> Vec<u8> {
    let guest = guest();
    let stub = fs::read(STUB).expect("apt-get install systemd-boot-efi");
    uki::Recipe {
        stub: &stub,
        os_release: "ID=lab\n",
        uname: "test",
        command_line: "console=ttyS0 panic=1 lab.shell",
        initrd: &fs::read(guest.initrd).unwrap(),
        linux: &fs::read(guest.kernel).unwrap(),
    }
    .build()
    .unwrap()
}

/// A disk that is one FAT volume with `program` where firmware looks on removable media.
fn disk(directory: &Path, name: &str, program: &[u8]) -> PathBuf {
    fs::write(directory.join("program"), program).unwrap();
    fs::File::create(directory.join(name))
        .unwrap()
        .set_len(64 << 20)
        .unwrap();
    tool("dosfstools", directory, "mkfs.vfat", &[name]);
    tool(
        "mtools",
        directory,
        "mmd",
        &["-i", name, "::/EFI", "::/EFI/BOOT"],
    );
    tool(
        "mtools",
        directory,
        "mcopy",
        &["-i", name, "program", "::/EFI/BOOT/BOOTX64.EFI"],
    );
    directory.join(name)
}

#[test]
fn boots_what_is_signed_and_nothing_else() {
    let work = Work::new();
    let keys = keys(work.path());
    let variables = work.path().join("variables.fd");
    let enrolled = SecureBootKeys {
        owner: Guid::from_bytes([1; 16]),
        pk: &keys.certificate,
        kek: &[&keys.certificate],
        db: &[&keys.certificate],
    };
    let template = work.tools.ovmf_variables().unwrap();
    write_variables(&template, Some(&enrolled), &[], &variables).unwrap();
    let changed = fs::metadata(&variables).unwrap().modified().unwrap();
    write_variables(&template, Some(&enrolled), &[], &variables).unwrap();
    assert_eq!(
        fs::metadata(&variables).unwrap().modified().unwrap(),
        changed
    );
    assert!(write_variables(&work.path().join("key.pem"), None, &[], &variables).is_err());

    let unsigned = unified_kernel();
    let signed = authenticode::sign(&unsigned, &keys.signer).unwrap();
    let machine = |disk: PathBuf| {
        let firmware = Firmware::Ovmf {
            secure_boot: true,
            variables: Drive::discarding(&variables),
        };
        QemuConfig {
            memory: 512,
            disks: vec![Drive::discarding(disk)],
            ..QemuConfig::new("secure boot", firmware)
        }
    };

    let good = machine(disk(work.path(), "good.img", &signed));
    let cache = work.path().join("cache");
    let accelerator = work.accelerator();
    let recipe = Recipe {
        tools: &work.tools,
        cache: &cache,
        label: "secure",
        image: Digest::of(&signed),
        machine: &good,
        accelerator,
        interrupt: None,
        limit: COMMAND,
    };
    let prepare = |machine: &mut Qemu| {
        let console = machine.console()?;
        console.wait_for_shell(BOOT)?;
        eprintln!("boot: {:?}", console.boots());
        Ok(())
    };
    let snapshot = recipe.open(prepare).unwrap();
    let begun = std::time::Instant::now();
    let mut restored = snapshot.start(None, None).unwrap();
    let console = restored.console().unwrap();
    let log = console.run("dmesg", COMMAND).unwrap().text();
    assert!(log.contains("Secure boot enabled"), "{log}");
    eprintln!(
        "from the snapshot to the output of dmesg: {:?}",
        begun.elapsed()
    );
    drop(restored);

    let mut altered = signed.clone();
    let middle = altered.len() / 2;
    altered[middle] ^= 1;
    for (name, program) in [("unsigned.img", &unsigned), ("altered.img", &altered)] {
        let config = machine(disk(work.path(), name, program));
        let mut machine = Qemu::new(&work.tools, config, accelerator, None).unwrap();
        machine.power_on().unwrap();
        let console = machine.console().unwrap();
        let refused = console.expect("Access Denied", BOOT).unwrap();
        eprintln!("{name}: refused after {:?}", refused.at);
        assert!(!refused.before.contains("Linux version"));
    }
}
