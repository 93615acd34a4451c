//! Makes what a machine needs to boot with Secure Boot enforced: a signed unified kernel image, a signed boot loader, and
//! an OVMF variable store with the key enrolled.
//!
//! ```sh
//! openssl req -x509 -newkey rsa:3072 -nodes -days 3650 -subj /CN=try -keyout key.pem -out cert.pem
//! cargo run -p bedstone-disk --example secure_boot -- linuxx64.efi.stub vmlinuz initrd.cpio efibootguardx64.efi key.pem cert.pem out
//! # out/{linux.efi, linux-unsigned.efi, BOOTX64.EFI, OVMF_VARS.fd}; put the first three on a disk, then
//! qemu-system-x86_64 -accel tcg -machine q35,smm=on -m 1024 -nodefaults -display none -serial stdio \
//!   -global driver=cfi.pflash01,property=secure,value=on \
//!   -drive if=pflash,unit=0,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.secboot.fd \
//!   -drive if=pflash,unit=1,format=raw,file=out/OVMF_VARS.fd -drive if=virtio,format=raw,file=disk.img
//! ```

use std::error::Error;
use std::path::Path;
use std::{env, fs};

use bedstone_disk::authenticode::{self, RsaKey, Signer};
use bedstone_disk::efi_variables::{SecureBootKeys, VariableStore};
use bedstone_disk::guid::Guid;
use bedstone_disk::uki::{self, Recipe};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [stub, kernel, initrd, loader, key, certificate, out] = arguments.as_slice() else {
        return Err(
            "usage: secure_boot STUB KERNEL INITRD LOADER KEY CERTIFICATE DIRECTORY".into(),
        );
    };
    let out = Path::new(out);
    fs::create_dir_all(out)?;
    let key = RsaKey::new(&fs::read(key)?, &fs::read(certificate)?)?;

    let linux = fs::read(kernel)?;
    let unsigned = Recipe {
        stub: &fs::read(stub)?,
        os_release: "ID=bedstone\nVERSION_ID=0\nPRETTY_NAME=\"Secure Boot example\"\n",
        uname: uki::kernel_release(&linux)?,
        command_line: "console=ttyS0 panic=5",
        initrd: &fs::read(initrd)?,
        linux: &linux,
    }
    .build()?;
    fs::write(out.join("linux.efi"), authenticode::sign(&unsigned, &key)?)?;
    fs::write(out.join("linux-unsigned.efi"), unsigned)?;
    fs::write(
        out.join("BOOTX64.EFI"),
        authenticode::sign(&fs::read(loader)?, &key)?,
    )?;

    let mut store = VariableStore::read(&fs::read("/usr/share/OVMF/OVMF_VARS_4M.fd")?)?;
    let certificate = key.certificate_der();
    SecureBootKeys {
        owner: Guid::from_bytes(*b"bedstone example"),
        pk: certificate,
        kek: &[certificate],
        db: &[certificate],
    }
    .enrol(&mut store)?;
    fs::write(out.join("OVMF_VARS.fd"), store.write()?)?;
    Ok(())
}
