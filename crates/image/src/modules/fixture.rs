//! Kernels with made-up modules, for tests.

use std::fs;

use super::KernelModules;

/// The smallest ELF64 file with the given `.modinfo`.
pub(crate) fn elf(modinfo: &[u8]) -> Vec<u8> {
    let names = b"\0.modinfo\0.shstrtab\0";
    let data = 64;
    let table = data + modinfo.len() + names.len();
    let mut file = vec![0; 64];
    file[..6].copy_from_slice(b"\x7fELF\x02\x01");
    file[0x28..0x30].copy_from_slice(&(table as u64).to_le_bytes());
    file[0x3a..0x3c].copy_from_slice(&64_u16.to_le_bytes());
    file[0x3c..0x3e].copy_from_slice(&3_u16.to_le_bytes());
    file[0x3e..0x40].copy_from_slice(&2_u16.to_le_bytes());
    file.extend_from_slice(modinfo);
    file.extend_from_slice(names);
    let mut section = |name: u32, offset: usize, size: usize| {
        let mut header = [0; 64];
        header[..4].copy_from_slice(&name.to_le_bytes());
        header[0x18..0x20].copy_from_slice(&(offset as u64).to_le_bytes());
        header[0x20..0x28].copy_from_slice(&(size as u64).to_le_bytes());
        file.extend_from_slice(&header);
    };
    section(0, 0, 0);
    section(1, data, modinfo.len());
    section(10, data + modinfo.len(), names.len());
    file
}

/// A kernel whose modules have the given `.modinfo`: entries separated by blanks, `+` standing for a blank within one.
pub(crate) fn kernel(modules: &[(&str, &str)]) -> (tempfile::TempDir, KernelModules) {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("6.1.0-test");
    for (path, modinfo) in modules {
        let path = root.join("kernel").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let bytes = elf(modinfo.replace(' ', "\0").replace('+', " ").as_bytes());
        let bytes = match path.extension().unwrap().to_str().unwrap() {
            "xz" => {
                let mut packed = Vec::new();
                let mut encoder = liblzma::read::XzEncoder::new(bytes.as_slice(), 1);
                std::io::Read::read_to_end(&mut encoder, &mut packed).unwrap();
                packed
            }
            "zst" => zstd::encode_all(bytes.as_slice(), 1).unwrap(),
            _ => bytes,
        };
        fs::write(path, bytes).unwrap();
    }
    fs::write(
        root.join("modules.builtin"),
        "kernel/crypto/sha256_generic.ko\n",
    )
    .unwrap();
    fs::write(
        root.join("modules.builtin.modinfo"),
        b"sha256_generic.license=GPL\0sha256_generic.alias=crypto-sha256\0",
    )
    .unwrap();
    let modules = KernelModules::open(&root).unwrap();
    (directory, modules)
}
