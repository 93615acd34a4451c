use crate::elf;

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
        let section = elf::section(elf, b".modinfo")?;
        Ok(Self::parse(section.ok_or("it has no .modinfo section")?))
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
