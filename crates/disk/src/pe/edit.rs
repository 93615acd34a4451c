use super::image::{Fields, Image, SECTION_HEADER};
use crate::error::{Error, Result};

/// Bytes of one COFF symbol.
const SYMBOL: usize = 18;
/// `IMAGE_DLLCHARACTERISTICS_NX_COMPAT`.
const NX_COMPATIBLE: u16 = 0x0100;
/// `IMAGE_FILE_LOCAL_SYMS_STRIPPED`.
const SYMBOLS_STRIPPED: u16 = 0x0008;

/// A section to be appended.
#[derive(Debug, Clone, Copy)]
pub struct NewSection<'a> {
    /// The name, at most eight bytes.
    pub name: &'a str,
    /// The content; its length becomes the section's virtual size.
    pub data: &'a [u8],
    /// `IMAGE_SCN_*` flags, see [`super::characteristics`].
    pub characteristics: u32,
}

/// Adds sections behind the last one, in file and memory, each at the next aligned address.
///
/// A COFF symbol table at the end of the file, as unstripped stubs have it, is dropped, because content that belongs to no
/// section must not lie between sections. Fails when the image is signed, or when its headers have no room for more
/// section headers.
pub fn append_sections(image: &Image<'_>, additions: &[NewSection<'_>]) -> Result<Vec<u8>> {
    let layout = &image.layout;
    if layout.certificates.is_some() {
        return Err(edit("it is signed; strip the signature first"));
    }
    let (mut out, symbols_dropped) = without_symbol_table(image)?;
    let count = image.sections().len() + additions.len();
    let table_end = layout.section_table + count * SECTION_HEADER;
    let unused = image
        .bytes()
        .get(layout.section_table + image.sections().len() * SECTION_HEADER..table_end);
    if table_end > layout.size_of_headers || unused.is_none_or(|gap| gap.iter().any(|b| *b != 0)) {
        return Err(edit(format!(
            "its headers of {} bytes have no room for {} more sections",
            layout.size_of_headers,
            additions.len()
        )));
    }

    let mut address = image
        .sections()
        .iter()
        .map(|s| u64::from(s.virtual_address) + u64::from(s.virtual_size.max(1)))
        .max()
        .unwrap_or_default();
    let mut headers = Vec::with_capacity(additions.len() * SECTION_HEADER);
    let mut initialized = u64::from(Fields(image.bytes()).u32(layout.optional + 8)?);
    for addition in additions {
        let name = addition.name.as_bytes();
        if name.is_empty() || name.len() > 8 {
            return Err(edit(format!(
                "section name `{}` is not 1 to 8 bytes long",
                addition.name
            )));
        }
        if addition.data.is_empty() {
            return Err(edit(format!("section `{}` is empty", addition.name)));
        }
        address = address.next_multiple_of(u64::from(layout.section_alignment));
        let size = addition.data.len() as u64;
        let raw_size = size.next_multiple_of(u64::from(layout.file_alignment));
        let mut padded_name = [0; 8];
        padded_name[..name.len()].copy_from_slice(name);
        headers.extend_from_slice(&padded_name);
        for value in [size, address, raw_size, out.len() as u64] {
            headers.extend_from_slice(&word(value)?.to_le_bytes());
        }
        headers.extend_from_slice(&[0; 12]);
        headers.extend_from_slice(&addition.characteristics.to_le_bytes());
        out.extend_from_slice(addition.data);
        out.resize(out.len() + (raw_size - size) as usize, 0);
        address += size;
        initialized += size;
    }
    let size_of_image = address.next_multiple_of(u64::from(layout.section_alignment));

    let first = table_end - headers.len();
    out[first..table_end].copy_from_slice(&headers);
    put(&mut out, layout.coff + 2, &(count as u16).to_le_bytes());
    if symbols_dropped {
        put(&mut out, layout.coff + 8, &[0; 8]);
        let flags = Fields(image.bytes()).u16(layout.coff + 18)? | SYMBOLS_STRIPPED;
        put(&mut out, layout.coff + 18, &flags.to_le_bytes());
    }
    put(
        &mut out,
        layout.optional + 8,
        &word(initialized)?.to_le_bytes(),
    );
    put(
        &mut out,
        layout.optional + 56,
        &word(size_of_image)?.to_le_bytes(),
    );
    set_checksum(&mut out, layout.optional);
    Ok(out)
}

/// Puts other content into an existing section, whose room in the file must suffice.
pub fn replace_section(image: &Image<'_>, name: &str, data: &[u8]) -> Result<Vec<u8>> {
    let index = image
        .sections()
        .iter()
        .position(|section| section.name() == Some(name))
        .ok_or_else(|| edit(format!("it has no section `{name}`")))?;
    let section = &image.sections()[index];
    if data.len() > section.raw_size as usize {
        return Err(edit(format!(
            "section `{name}` has room for {} bytes, {} are needed",
            section.raw_size,
            data.len()
        )));
    }
    let next = image
        .sections()
        .iter()
        .map(|other| other.virtual_address)
        .filter(|address| *address > section.virtual_address)
        .min();
    if next.is_some_and(|next| u64::from(section.virtual_address) + data.len() as u64 > next.into())
    {
        return Err(edit(format!(
            "section `{name}` would reach into the next one when loaded"
        )));
    }
    let mut out = image.bytes().to_vec();
    let start = section.raw_offset as usize;
    out[start..start + section.raw_size as usize].fill(0);
    put(&mut out, start, data);
    let header = image.layout.section_table + index * SECTION_HEADER;
    put(
        &mut out,
        header + 8,
        &word(data.len() as u64)?.to_le_bytes(),
    );
    set_checksum(&mut out, image.layout.optional);
    Ok(out)
}

/// Takes back the promise that the image runs with writable memory that is not executable.
pub fn clear_nx_compatible(image: &Image<'_>) -> Vec<u8> {
    let mut out = image.bytes().to_vec();
    let flags = image.dll_characteristics() & !NX_COMPATIBLE;
    put(&mut out, image.layout.optional + 70, &flags.to_le_bytes());
    set_checksum(&mut out, image.layout.optional);
    out
}

/// Whether the image promises to run with writable memory that is not executable.
pub(crate) fn is_nx_compatible(image: &Image<'_>) -> bool {
    image.dll_characteristics() & NX_COMPATIBLE != 0
}

/// Removes the certificate table.
pub fn strip_certificates(image: &Image<'_>) -> Vec<u8> {
    let layout = &image.layout;
    let end = layout.certificates.map_or(image.bytes().len(), |c| c.0);
    let mut out = image.bytes()[..end].to_vec();
    put(&mut out, layout.certificate_entry, &[0; 8]);
    set_checksum(&mut out, layout.optional);
    out
}

/// Adds a PKCS #7 signature as the last entry of the certificate table, padding the file to 8 bytes first.
pub fn append_certificate(image: &Image<'_>, pkcs7: &[u8]) -> Result<Vec<u8>> {
    let layout = &image.layout;
    let mut out = image.bytes().to_vec();
    out.resize(out.len().next_multiple_of(8), 0);
    let start = layout.certificates.map_or(out.len(), |c| c.0);
    // The length counts the padding too: edk2 steps by the padded, sbsigntool by the stated length.
    let padded = (8 + pkcs7.len()).next_multiple_of(8);
    out.extend_from_slice(&word(padded as u64)?.to_le_bytes());
    out.extend_from_slice(&super::Certificate::REVISION_2.to_le_bytes());
    out.extend_from_slice(&super::Certificate::PKCS_SIGNED_DATA.to_le_bytes());
    out.extend_from_slice(pkcs7);
    out.resize(out.len().next_multiple_of(8), 0);
    let size = word((out.len() - start) as u64)?;
    put(
        &mut out,
        layout.certificate_entry,
        &word(start as u64)?.to_le_bytes(),
    );
    put(&mut out, layout.certificate_entry + 4, &size.to_le_bytes());
    set_checksum(&mut out, layout.optional);
    Ok(out)
}

/// The value that `CheckSum` of an image should have: the folded sum of its 16-bit words, `CheckSum` counted as 0,
/// plus its length (`CheckSumMappedFile` in imagehlp).
pub fn checksum(image: &Image<'_>) -> u32 {
    compute_checksum(image.bytes(), image.layout.optional + 64)
}

fn set_checksum(out: &mut [u8], optional: usize) {
    let sum = compute_checksum(out, optional + 64);
    put(out, optional + 64, &sum.to_le_bytes());
}

fn compute_checksum(bytes: &[u8], field: usize) -> u32 {
    let words = |bytes: &[u8]| -> u64 {
        let pairs = bytes.chunks_exact(2);
        let last = u64::from(pairs.remainder().first().copied().unwrap_or_default());
        pairs
            .map(|pair| u64::from(u16::from_le_bytes([pair[0], pair[1]])))
            .sum::<u64>()
            + last
    };
    // The field lies at an even offset in every image that a tool makes; where it does not, its bytes are still zeros.
    let mut head = bytes[..field + 4].to_vec();
    head[field..].fill(0);
    let odd = head.len() % 2;
    let mut sum = words(&head[..head.len() - odd]);
    if odd == 1 {
        let next = bytes.get(field + 4).copied().unwrap_or_default();
        sum += u64::from(next) << 8;
        sum += words(bytes.get(field + 5..).unwrap_or_default());
    } else {
        sum += words(&bytes[field + 4..]);
    }
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    (sum as u32).wrapping_add(bytes.len() as u32)
}

/// The file up to the end of its sections, padded to the file alignment, and whether a symbol table was left out.
fn without_symbol_table(image: &Image<'_>) -> Result<(Vec<u8>, bool)> {
    let (layout, bytes) = (&image.layout, image.bytes());
    let mut end = bytes.len();
    let mut dropped = false;
    if layout.symbol_table != 0 && layout.symbol_table >= image.sections_end() {
        let names = layout
            .symbols
            .checked_mul(SYMBOL)
            .and_then(|size| size.checked_add(layout.symbol_table));
        let names_size = names.and_then(|at| Fields(bytes).u32(at).ok());
        if names
            .zip(names_size)
            .and_then(|(at, size)| at.checked_add(size as usize))
            == Some(bytes.len())
        {
            end = layout.symbol_table;
            dropped = true;
        }
    }
    let sections_end = image.sections_end();
    if bytes[sections_end..end].iter().any(|byte| *byte != 0) {
        return Err(edit(format!(
            "{} bytes behind its last section belong to no section",
            end - sections_end
        )));
    }
    let alignment = layout.file_alignment as usize;
    let misplaced = |offset: u32, size: u32| {
        !offset.is_multiple_of(layout.file_alignment) || !size.is_multiple_of(layout.file_alignment)
    };
    if let Some(section) = image
        .placed_sections()
        .into_iter()
        .find(|s| misplaced(s.raw_offset, s.raw_size))
    {
        return Err(edit(format!(
            "its section `{}` is not aligned to {alignment} bytes in the file",
            section.name().unwrap_or("?")
        )));
    }
    Ok((bytes[..sections_end].to_vec(), dropped))
}

fn put(out: &mut [u8], at: usize, bytes: &[u8]) {
    out[at..at + bytes.len()].copy_from_slice(bytes);
}

fn word(value: u64) -> Result<u32> {
    u32::try_from(value).map_err(|_| edit(format!("{value} bytes do not fit the 32-bit fields")))
}

fn edit(reason: impl Into<String>) -> Error {
    Error::PeEdit(reason.into())
}
