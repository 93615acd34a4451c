use crate::error::{Error, Result};

/// Most sections a file may have; the format's documented limit for loaders.
const MAX_SECTIONS: u16 = 96;
/// Bytes of one section header.
pub(super) const SECTION_HEADER: usize = 40;
/// Bytes of a `WIN_CERTIFICATE` before its content.
const CERTIFICATE_HEADER: usize = 8;

/// A PE image that was checked from its first byte to its last.
///
/// Accepted is: MZ and PE headers, at least the five first data directories, sections inside the file that do not overlap
/// each other or the headers, and a certificate table, if any, behind all sections and up to the end of the file.
#[derive(Debug, Clone)]
pub struct Image<'a> {
    bytes: &'a [u8],
    pub(super) layout: Layout,
    sections: Vec<Section>,
}

/// Where the fields are that readers and editors need, as offsets in the file, and the values read most.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) coff: usize,
    pub(super) optional: usize,
    pub(super) section_table: usize,
    pub(super) certificate_entry: usize,
    pub(super) certificates: Option<(usize, usize)>,
    pub(super) symbol_table: usize,
    pub(super) symbols: usize,
    pub(super) section_alignment: u32,
    pub(super) file_alignment: u32,
    pub(super) size_of_headers: usize,
}

/// One section's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// The name, NUL padded; at most eight bytes.
    pub raw_name: [u8; 8],
    /// Address of the first byte when loaded, relative to the image base.
    pub virtual_address: u32,
    /// Bytes when loaded; less than `raw_size` when the file is padded, more when zeros follow.
    pub virtual_size: u32,
    /// Offset of the content in the file; meaningless when `raw_size` is 0.
    pub raw_offset: u32,
    /// Bytes in the file, padding included.
    pub raw_size: u32,
    /// `IMAGE_SCN_*` flags.
    pub characteristics: u32,
}

/// One entry of the certificate table, a `WIN_CERTIFICATE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Certificate<'a> {
    /// `wRevision`; 0x0200 in all that is made today.
    pub revision: u16,
    /// `wCertificateType`; 0x0002 for PKCS #7 signed data.
    pub kind: u16,
    /// The content; a PKCS #7 structure may be followed by up to 7 bytes of padding.
    pub content: &'a [u8],
}

impl Certificate<'_> {
    /// `WIN_CERT_REVISION_2_0`.
    pub const REVISION_2: u16 = 0x0200;
    /// `WIN_CERT_TYPE_PKCS_SIGNED_DATA`.
    pub const PKCS_SIGNED_DATA: u16 = 0x0002;
}

impl Section {
    /// The name without its padding; `None` when it is not UTF-8.
    pub fn name(&self) -> Option<&str> {
        let length = self.raw_name.iter().position(|byte| *byte == 0);
        std::str::from_utf8(&self.raw_name[..length.unwrap_or(8)]).ok()
    }
}

impl<'a> Image<'a> {
    /// Checks `bytes` as a whole.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let field = Fields(bytes);
        let (coff, section_count) = field.signatures()?;
        let layout = Layout::read(&field, coff)?;
        let table_end = layout.section_table + usize::from(section_count) * SECTION_HEADER;
        if layout.size_of_headers < table_end || layout.size_of_headers > bytes.len() {
            return Err(malformed(
                layout.optional + 60,
                "`SizeOfHeaders` does not enclose the section table",
            ));
        }
        let sections = (0..usize::from(section_count))
            .map(|index| Section::read(&field, layout.section_table + index * SECTION_HEADER))
            .collect::<Result<Vec<_>>>()?;
        let image = Self {
            bytes,
            layout,
            sections,
        };
        image.check_placement()?;
        Ok(image)
    }

    /// Finds the only section called `name` in the beginning of a file, without looking at the rest: where the section lies
    /// is what its header says, and not held against the size of the file.
    pub fn find_section(head: &[u8], name: &str) -> Result<Option<Section>> {
        let field = Fields(head);
        let (coff, count) = field.signatures()?;
        let table = coff + 20 + usize::from(field.u16(coff + 16)?);
        let mut found = None;
        for index in 0..usize::from(count) {
            let section = Section::read(&field, table + index * SECTION_HEADER)?;
            if section.name() == Some(name) && found.replace(section).is_some() {
                return Err(twice(table, name));
            }
        }
        Ok(found)
    }

    /// The whole file.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// `Machine`: 0x8664 x86-64, 0xaa64 AArch64, 0x014c i386.
    pub fn machine(&self) -> u16 {
        Fields(self.bytes).u16(self.layout.coff).unwrap_or_default()
    }

    /// `DllCharacteristics`, with `NX_COMPAT` = 0x0100.
    pub fn dll_characteristics(&self) -> u16 {
        Fields(self.bytes)
            .u16(self.layout.optional + 70)
            .unwrap_or_default()
    }

    /// The sections in the order of the section table.
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// The only section called `name`; `None` when there is none, an error when there are several.
    pub fn section(&self, name: &str) -> Result<Option<&Section>> {
        let mut found = self.sections.iter().filter(|s| s.name() == Some(name));
        let first = found.next();
        if found.next().is_some() {
            return Err(twice(self.layout.section_table, name));
        }
        Ok(first)
    }

    /// A section's content without the padding in the file, and without zeros that only exist when loaded.
    pub fn data(&self, section: &Section) -> &'a [u8] {
        let length = section.raw_size.min(section.virtual_size) as usize;
        let start = section.raw_offset as usize;
        self.bytes.get(start..start + length).unwrap_or_default()
    }

    /// The certificate table's entries.
    pub fn certificates(&self) -> Result<Vec<Certificate<'a>>> {
        let mut entries = Vec::new();
        let Some((start, size)) = self.layout.certificates else {
            return Ok(entries);
        };
        let (field, end) = (Fields(self.bytes), start + size);
        let mut at = start;
        while at < end {
            let length = field.u32(at)? as usize;
            if length < CERTIFICATE_HEADER || length > end - at {
                return Err(malformed(at, format!("certificate of {length} bytes")));
            }
            entries.push(Certificate {
                revision: field.u16(at + 4)?,
                kind: field.u16(at + 6)?,
                content: field.take(at + CERTIFICATE_HEADER, length - CERTIFICATE_HEADER)?,
            });
            at += length.next_multiple_of(8);
        }
        Ok(entries)
    }

    /// Sections with content in the file, by their place in it.
    pub(crate) fn placed_sections(&self) -> Vec<&Section> {
        let mut placed: Vec<_> = self.sections.iter().filter(|s| s.raw_size > 0).collect();
        placed.sort_by_key(|section| section.raw_offset);
        placed
    }

    /// Offset at which the last section's content ends in the file.
    pub(crate) fn sections_end(&self) -> usize {
        self.placed_sections()
            .last()
            .map_or(self.layout.size_of_headers, |section| {
                section.raw_offset as usize + section.raw_size as usize
            })
    }

    /// Offsets of the fields that signing leaves out: `CheckSum` (4 bytes), certificate table entry (8 bytes), and of the
    /// end of what is signed.
    pub(crate) fn unsigned_fields(&self) -> (usize, usize, usize) {
        let end = self.layout.certificates.map_or(self.bytes.len(), |c| c.0);
        (
            self.layout.optional + 64,
            self.layout.certificate_entry,
            end,
        )
    }

    /// `SizeOfHeaders`.
    pub(crate) fn size_of_headers(&self) -> usize {
        self.layout.size_of_headers
    }

    fn check_placement(&self) -> Result<()> {
        let limit = self.layout.certificates.map_or(self.bytes.len(), |c| c.0);
        let mut free = self.layout.size_of_headers;
        for section in self.placed_sections() {
            let start = section.raw_offset as usize;
            let end = start.saturating_add(section.raw_size as usize);
            let name = || String::from_utf8_lossy(&section.raw_name).replace('\0', "");
            if start < free {
                return Err(malformed(
                    start,
                    format!("section `{}` overlaps what is before it", name()),
                ));
            }
            if end > limit {
                return Err(malformed(
                    start,
                    format!("section `{}` ends at {end:#x}, behind the image", name()),
                ));
            }
            free = end;
        }
        Ok(())
    }
}

impl Layout {
    fn read(field: &Fields<'_>, coff: usize) -> Result<Self> {
        let optional = coff + 20;
        let optional_size = usize::from(field.u16(coff + 16)?);
        let directories = match field.u16(optional)? {
            0x010b => optional + 96,
            0x020b => optional + 112,
            magic => {
                return Err(malformed(
                    optional,
                    format!("optional header `Magic` {magic:#06x} is neither PE32 nor PE32+"),
                ));
            }
        };
        let count = field.u32(directories - 4)? as usize;
        if !(5..=16).contains(&count) || directories + 8 * count > optional + optional_size {
            return Err(malformed(
                directories - 4,
                format!("`NumberOfRvaAndSizes` is {count}"),
            ));
        }
        let section_alignment = field.u32(optional + 32)?;
        let file_alignment = field.u32(optional + 36)?;
        if !section_alignment.is_power_of_two() || !file_alignment.is_power_of_two() {
            return Err(malformed(optional + 32, "alignment is not a power of two"));
        }
        let certificate_entry = directories + 4 * 8;
        let start = field.u32(certificate_entry)? as usize;
        let size = field.u32(certificate_entry + 4)? as usize;
        let certificates = match (start, size) {
            (_, 0) => None,
            _ if start.is_multiple_of(8) && start.checked_add(size) == Some(field.0.len()) => {
                Some((start, size))
            }
            _ => {
                return Err(malformed(
                    certificate_entry,
                    "certificate table is not aligned or does not end the file",
                ));
            }
        };
        Ok(Self {
            coff,
            optional,
            section_table: optional + optional_size,
            certificate_entry,
            certificates,
            symbol_table: field.u32(coff + 8)? as usize,
            symbols: field.u32(coff + 12)? as usize,
            section_alignment,
            file_alignment,
            size_of_headers: field.u32(optional + 60)? as usize,
        })
    }
}

impl Section {
    fn read(field: &Fields<'_>, at: usize) -> Result<Self> {
        let mut raw_name = [0; 8];
        raw_name.copy_from_slice(field.take(at, 8)?);
        Ok(Self {
            raw_name,
            virtual_size: field.u32(at + 8)?,
            virtual_address: field.u32(at + 12)?,
            raw_size: field.u32(at + 16)?,
            raw_offset: field.u32(at + 20)?,
            characteristics: field.u32(at + 36)?,
        })
    }
}

fn twice(at: usize, name: &str) -> Error {
    malformed(at, format!("section `{name}` occurs more than once"))
}

/// Little-endian fields at offsets that may lie outside.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    /// Checks the signatures; returns the offset of the COFF header and the number of sections.
    fn signatures(&self) -> Result<(usize, u16)> {
        if self.take(0, 2)? != b"MZ" {
            return Err(malformed(0, "no `MZ` signature"));
        }
        let pe = self.u32(0x3c)? as usize;
        if pe < 0x40 {
            return Err(malformed(0x3c, "`e_lfanew` points into the DOS header"));
        }
        if self.take(pe, 4)? != b"PE\0\0" {
            return Err(malformed(pe, "no `PE` signature"));
        }
        let coff = pe + 4;
        let sections = self.u16(coff + 2)?;
        if sections == 0 || sections > MAX_SECTIONS {
            return Err(malformed(
                coff + 2,
                format!("`NumberOfSections` is {sections}"),
            ));
        }
        Ok((coff, sections))
    }

    pub(super) fn take(&self, at: usize, length: usize) -> Result<&'a [u8]> {
        at.checked_add(length)
            .and_then(|end| self.0.get(at..end))
            .ok_or_else(|| malformed(at, "file ends here"))
    }

    pub(super) fn u16(&self, at: usize) -> Result<u16> {
        let bytes = self.take(at, 2)?;
        Ok(u16::from_le_bytes([bytes[0], bytes[1]]))
    }

    pub(super) fn u32(&self, at: usize) -> Result<u32> {
        let bytes = self.take(at, 4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }
}

fn malformed(offset: usize, reason: impl Into<String>) -> Error {
    Error::Pe {
        offset,
        reason: reason.into(),
    }
}
