/// What a kernel module says of itself in its `.modinfo` section (`include/linux/module.h`).
///
/// Names of modules are given as the kernel shows them, with `_` for `-`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModuleInfo {
    /// `name=`: the module's own name.
    pub name: Option<String>,
    /// `depends=`: modules whose symbols it uses; they must be loaded before.
    pub depends: Vec<String>,
    /// `softdep=pre:`: modules or aliases that should be loaded before, where they exist.
    pub before: Vec<String>,
    /// `softdep=post:`: modules or aliases that should be loaded after.
    pub after: Vec<String>,
    /// `firmware=`: files below `/lib/firmware` that it may ask for; a `*` stands for any text.
    pub firmware: Vec<String>,
    /// `alias=`: other names that it answers to, such as `crypto-crc32c` or `pci:v00001AF4d*`.
    pub aliases: Vec<String>,
}

impl ModuleInfo {
    /// Reads the section from an ELF file, 32 or 64 bits, little-endian; the signature that may follow is not looked at.
    ///
    /// Fails with what is wrong with the file.
    pub fn from_elf(elf: &[u8]) -> Result<Self, &'static str> {
        Ok(Self::parse(modinfo_section(elf)?))
    }

    /// Reads the content of the section: `key=value` texts, each ended by NUL. Unknown keys are passed over.
    pub fn parse(section: &[u8]) -> Self {
        let mut info = Self::default();
        for entry in section.split(|&byte| byte == 0) {
            let Ok(text) = std::str::from_utf8(entry) else {
                continue;
            };
            let Some((key, value)) = text.split_once('=') else {
                continue;
            };
            match key {
                "name" => info.name = Some(module_name(value)),
                "depends" => {
                    let names = value.split(',').filter(|name| !name.is_empty());
                    info.depends.extend(names.map(module_name));
                }
                "softdep" => info.add_soft_dependencies(value),
                "firmware" => info.firmware.push(value.to_owned()),
                "alias" => info.aliases.push(value.to_owned()),
                _ => {}
            }
        }
        info
    }

    /// Reads `modules.builtin.modinfo`, where every key is preceded by the module's name and a dot; returns the name and
    /// the alias of each such entry.
    pub(crate) fn built_in_aliases(text: &[u8]) -> impl Iterator<Item = (String, &str)> {
        text.split(|&byte| byte == 0).filter_map(|entry| {
            let (key, alias) = std::str::from_utf8(entry).ok()?.split_once('=')?;
            let name = key.strip_suffix(".alias")?;
            Some((module_name(name), alias))
        })
    }

    fn add_soft_dependencies(&mut self, value: &str) {
        let mut list = None;
        for word in value.split_whitespace() {
            match (word, &list) {
                ("pre:", _) => list = Some(false),
                ("post:", _) => list = Some(true),
                (_, Some(false)) => self.before.push(word.to_owned()),
                (_, Some(true)) => self.after.push(word.to_owned()),
                (_, None) => {}
            }
        }
    }
}

/// The kernel takes `-` and `_` in module names for the same and shows `_`.
pub(crate) fn module_name(text: &str) -> String {
    text.replace('-', "_")
}

/// Finds `.modinfo` (System V ABI, chapter 4).
fn modinfo_section(elf: &[u8]) -> Result<&[u8], &'static str> {
    const LITTLE_ENDIAN: u8 = 1;
    if elf.get(..4) != Some(b"\x7fELF") {
        return Err("it does not begin as an ELF file");
    }
    let class = match elf.get(4) {
        Some(1) => Class::Bits32,
        Some(2) => Class::Bits64,
        _ => return Err("its ELF class is neither 32 nor 64 bits"),
    };
    if elf.get(5) != Some(&LITTLE_ENDIAN) {
        return Err("it is not little-endian");
    }
    let table = class
        .section_table(elf)
        .ok_or("its ELF header is cut off")?;
    let names = table
        .section(elf, table.names)
        .and_then(|section| section.content(elf))
        .ok_or("its section names lie outside the file")?;
    for index in 0..table.count {
        let section = table
            .section(elf, index)
            .ok_or("its section table lies outside the file")?;
        let name = names.get(section.name..).unwrap_or_default();
        if name.starts_with(b".modinfo\0") {
            return section
                .content(elf)
                .ok_or("its .modinfo section lies outside the file");
        }
    }
    Err("it has no .modinfo section")
}

#[derive(Clone, Copy)]
enum Class {
    Bits32,
    Bits64,
}

struct SectionTable {
    class: Class,
    offset: usize,
    entry: usize,
    count: usize,
    names: usize,
}

struct Section {
    name: usize,
    offset: usize,
    size: usize,
}

impl Class {
    fn section_table(self, elf: &[u8]) -> Option<SectionTable> {
        let (offset, fields) = match self {
            Self::Bits32 => (word(elf, 0x20, 4)?, 0x2e),
            Self::Bits64 => (word(elf, 0x28, 8)?, 0x3a),
        };
        Some(SectionTable {
            class: self,
            offset,
            entry: word(elf, fields, 2)?,
            count: word(elf, fields + 2, 2)?,
            names: word(elf, fields + 4, 2)?,
        })
    }
}

impl SectionTable {
    fn section(&self, elf: &[u8], index: usize) -> Option<Section> {
        let start = self.offset.checked_add(index.checked_mul(self.entry)?)?;
        let header = elf.get(start..)?;
        let (offset, size) = match self.class {
            Class::Bits32 => (word(header, 0x10, 4)?, word(header, 0x14, 4)?),
            Class::Bits64 => (word(header, 0x18, 8)?, word(header, 0x20, 8)?),
        };
        Some(Section {
            name: word(header, 0, 4)?,
            offset,
            size,
        })
    }
}

impl Section {
    fn content<'a>(&self, elf: &'a [u8]) -> Option<&'a [u8]> {
        elf.get(self.offset..self.offset.checked_add(self.size)?)
    }
}

/// The little-endian number of `length` bytes at `offset`.
fn word(bytes: &[u8], offset: usize, length: usize) -> Option<usize> {
    let field = bytes.get(offset..offset.checked_add(length)?)?;
    let value = field
        .iter()
        .rev()
        .fold(0_u64, |value, &byte| value << 8 | u64::from(byte));
    usize::try_from(value).ok()
}
