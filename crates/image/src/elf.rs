//! The few facts that are read from ELF files (System V ABI, chapters 4 and 5), 32 or 64 bits, little-endian.

/// Type of the program header that names an interpreter, `PT_INTERP`.
const INTERPRETER: usize = 3;

/// The content of a section, where the file has it.
///
/// Fails with what is wrong with the file.
pub(crate) fn section<'a>(elf: &'a [u8], name: &[u8]) -> Result<Option<&'a [u8]>, &'static str> {
    let table = Class::of(elf)?
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
        let found = names.get(section.name..).unwrap_or_default();
        if found.split(|&byte| byte == 0).next() == Some(name) {
            let content = section
                .content(elf)
                .ok_or("one of its sections lies outside the file")?;
            return Ok(Some(content));
        }
    }
    Ok(None)
}

/// Whether a program runs by itself: no program header names an interpreter.
///
/// Fails with what is wrong with the file.
pub fn is_static(elf: &[u8]) -> Result<bool, &'static str> {
    let class = Class::of(elf)?;
    let (offset, fields) = match class {
        Class::Bits32 => (word(elf, 0x1c, 4), 0x2a),
        Class::Bits64 => (word(elf, 0x20, 8), 0x36),
    };
    let table = offset.zip(word(elf, fields, 2).zip(word(elf, fields + 2, 2)));
    let (offset, (size, count)) = table.ok_or("its ELF header is cut off")?;
    for index in 0..count {
        let kind = offset
            .checked_add(index * size)
            .and_then(|start| word(elf, start, 4))
            .ok_or("its program headers lie outside the file")?;
        if kind == INTERPRETER {
            return Ok(false);
        }
    }
    Ok(true)
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
    fn of(elf: &[u8]) -> Result<Self, &'static str> {
        const LITTLE_ENDIAN: u8 = 1;
        if elf.get(..4) != Some(b"\x7fELF") {
            return Err("it does not begin as an ELF file");
        }
        let class = match elf.get(4) {
            Some(1) => Self::Bits32,
            Some(2) => Self::Bits64,
            _ => return Err("its ELF class is neither 32 nor 64 bits"),
        };
        if elf.get(5) != Some(&LITTLE_ENDIAN) {
            return Err("it is not little-endian");
        }
        Ok(class)
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF header and one program header of this type.
    fn elf(class: Class, kind: u8) -> Vec<u8> {
        let (class, header, offset, fields, entry) = match class {
            Class::Bits32 => (1, 52, 0x1c, 0x2a, 32),
            Class::Bits64 => (2, 64, 0x20, 0x36, 56),
        };
        let mut bytes = vec![0; header + usize::from(entry)];
        bytes[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, 1]);
        bytes[offset] = u8::try_from(header).unwrap();
        bytes[fields] = entry;
        bytes[fields + 2] = 1;
        bytes[header] = kind;
        bytes
    }

    #[test]
    fn a_program_with_an_interpreter_is_not_static() {
        for class in [Class::Bits32, Class::Bits64] {
            assert_eq!(is_static(&elf(class, 1)), Ok(true));
            assert_eq!(is_static(&elf(class, 3)), Ok(false));
        }
        let own = std::fs::read("/proc/self/exe").unwrap();
        assert_eq!(is_static(&own), Ok(false));
        assert!(section(&own, b".text").unwrap().is_some());
        assert_eq!(section(&own, b".modinfo"), Ok(None));
    }

    #[test]
    fn what_is_cut_short_is_refused() {
        for (class, header) in [(Class::Bits32, 52), (Class::Bits64, 64)] {
            let whole = elf(class, 1);
            for length in 0..header + 4 {
                is_static(&whole[..length]).unwrap_err();
            }
        }
    }
}
