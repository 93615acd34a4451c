use super::*;
use crate::pe::tests::{debian_stub, synthetic};
use std::process::Command;

fn kernel() -> Vec<u8> {
    synthetic(&[(".text", &vec![0x90; 70_000])])
}

fn recipe<'a>(stub: &'a [u8], linux: &'a [u8]) -> Recipe<'a> {
    Recipe {
        stub,
        os_release: "ID=test\nVERSION_ID=1\n",
        uname: "6.1.0-test",
        command_line: "console=ttyS0 quiet",
        initrd: &[0xaa; 5001],
        linux,
    }
}

fn modern_stub() -> Vec<u8> {
    synthetic(&[
        (".text", &vec![1; 70_000]),
        (
            ".sbat",
            b"sbat,1,SBAT Version,sbat,1,u\nsystemd-stub,1,a,b,c,d\n",
        ),
        (".sdmagic", b"#### LoaderInfo: systemd-stub 262 ####"),
    ])
}

#[test]
fn builds_and_reads_back() {
    let linux = kernel();
    for stub in [debian_stub(), modern_stub()] {
        let recipe = recipe(&stub, &linux);
        let uki = recipe.build().unwrap();
        assert_eq!(uki, recipe.build().unwrap());
        let contents = Contents::read(&uki).unwrap();
        assert_eq!(contents.os_release, recipe.os_release);
        assert_eq!(contents.uname, recipe.uname);
        assert_eq!(contents.command_line, recipe.command_line);
        assert_eq!(contents.initrd, recipe.initrd);
        assert_eq!(contents.linux, linux);
    }
}

#[test]
fn objdump_sees_the_same_sections() {
    let (stub, linux) = (debian_stub(), kernel());
    let uki = recipe(&stub, &linux).build().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("uki.efi");
    std::fs::write(&path, &uki).unwrap();
    let output = Command::new("objdump")
        .arg("-h")
        .arg(&path)
        .output()
        .expect("install Debian's package binutils");
    assert!(output.status.success());
    let listing = String::from_utf8(output.stdout).unwrap();
    let seen: Vec<(String, u64, u64, u64)> = listing
        .lines()
        .filter_map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            let hex = |word: &str| u64::from_str_radix(word, 16).ok();
            words.first()?.parse::<u32>().ok()?;
            Some((
                words[1].to_owned(),
                hex(words[2])?,
                hex(words[3])?,
                hex(words[5])?,
            ))
        })
        .collect();
    let image = pe::Image::parse(&uki).unwrap();
    let ours: Vec<_> = image
        .sections()
        .iter()
        .map(|s| {
            (
                s.name().unwrap().to_owned(),
                u64::from(s.raw_size.min(s.virtual_size)),
                u64::from(s.virtual_address),
                u64::from(s.raw_offset),
            )
        })
        .collect();
    assert_eq!(seen, ours);
    let names: Vec<_> = ours.iter().rev().take(5).map(|s| s.0.as_str()).collect();
    assert_eq!(names, [".linux", ".initrd", ".cmdline", ".uname", ".osrel"]);
}

#[test]
fn merges_sbat_and_follows_the_kernels_nx() {
    let stub = modern_stub();
    let mut linux = synthetic(&[
        (".text", &[0x90; 700]),
        (
            ".sbat",
            b"sbat,1,SBAT Version,sbat,1,u\nlinux,1,k,l,m,n\n\0\0",
        ),
    ]);
    let uki = recipe(&stub, &linux).build().unwrap();
    let image = pe::Image::parse(&uki).unwrap();
    let sbat = image.data(image.section(".sbat").unwrap().unwrap());
    assert_eq!(
        std::str::from_utf8(sbat).unwrap(),
        "sbat,1,SBAT Version,sbat,1,u\nsystemd-stub,1,a,b,c,d\nlinux,1,k,l,m,n\n"
    );
    assert!(pe::is_nx_compatible(&image));

    linux = pe::clear_nx_compatible(&pe::Image::parse(&linux).unwrap());
    let uki = recipe(&stub, &linux).build().unwrap();
    assert!(!pe::is_nx_compatible(&pe::Image::parse(&uki).unwrap()));
}

#[test]
fn refuses_with_the_section_named() {
    let (stub, linux) = (modern_stub(), kernel());
    let good = recipe(&stub, &linux);
    let other_machine = {
        let mut bytes = kernel();
        bytes[0x44..0x46].copy_from_slice(&0xaa64_u16.to_le_bytes());
        bytes
    };
    let twice = good.build().unwrap();
    let cases = [
        (
            Recipe {
                stub: &linux,
                ..good
            },
            ".sdmagic",
        ),
        (
            Recipe {
                stub: &twice,
                ..good
            },
            ".osrel",
        ),
        (
            Recipe {
                linux: &other_machine,
                ..good
            },
            ".linux",
        ),
        (
            Recipe {
                command_line: "a\nb",
                ..good
            },
            ".cmdline",
        ),
        (
            Recipe {
                uname: "a\0",
                ..good
            },
            ".uname",
        ),
        (
            Recipe {
                initrd: b"",
                ..good
            },
            ".initrd",
        ),
    ];
    for (recipe, section) in cases {
        let error = recipe.build().unwrap_err().to_string();
        assert!(error.contains(&format!("`{section}`")), "{error}");
    }
    let error = Contents::read(&stub).unwrap_err().to_string();
    assert_eq!(
        error,
        "unified kernel image, section `.osrel`: it is missing"
    );
}

#[test]
fn the_command_line_alone_is_what_the_whole_says() {
    let (stub, linux) = (modern_stub(), kernel());
    let uki = recipe(&stub, &linux).build().unwrap();
    let expected = Contents::read(&uki).unwrap().command_line;
    assert_eq!(command_line(&uki).unwrap(), expected);
    for length in 0..uki.len() {
        let part = &uki[..length];
        assert!(command_line(part).is_err(), "{length}");
    }
    assert_eq!(
        command_line(&stub).unwrap_err().to_string(),
        "unified kernel image, section `.osrel`: it is missing"
    );
}

#[test]
fn kernel_states_its_release() {
    let mut linux = vec![0; 0x400];
    linux[0x202..0x206].copy_from_slice(b"HdrS");
    linux[0x20e..0x210].copy_from_slice(&0x100_u16.to_le_bytes());
    linux[0x300..0x31b].copy_from_slice(b"6.1.0-56-amd64 (debian) #1\0");
    assert_eq!(kernel_release(&linux).unwrap(), "6.1.0-56-amd64");
    linux[0x20e..0x210].copy_from_slice(&0xffff_u16.to_le_bytes());
    assert!(kernel_release(&linux).is_err());
    assert!(kernel_release(b"MZ").is_err());
}
