//! The `ar` container as deb(5) uses it: a magic line, then members of a 60-byte header and content padded to two.

use std::io::Read;

use super::Defect;

/// First eight bytes of an archive.
pub(super) const MAGIC: &[u8; 8] = b"!<arch>\n";

/// What a member header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    /// Name without padding and without the `/` that GNU `ar` appends.
    pub(super) name: String,
    /// Content length in bytes.
    pub(super) size: u64,
}

/// Reads the magic line.
pub(super) fn read_magic(reader: &mut impl Read) -> Result<(), Defect> {
    let mut magic = [0; 8];
    reader.read_exact(&mut magic)?;
    if &magic == MAGIC {
        Ok(())
    } else {
        Err(Defect::NotAr)
    }
}

/// Reads the next member header, or `None` at the end of the archive.
///
/// Bytes: name 0..16, time 16..28, uid 28..34, gid 34..40, mode 40..48, size 48..58 (decimal), `` `\n `` 58..60.
pub(super) fn read_header(reader: &mut impl Read) -> Result<Option<Header>, Defect> {
    let mut bytes = [0; 60];
    let mut filled = 0;
    while filled < bytes.len() {
        match reader.read(&mut bytes[filled..]) {
            Ok(0) if filled == 0 => return Ok(None),
            Ok(0) => return Err(Defect::Truncated),
            Ok(length) => filled += length,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    if &bytes[58..] != b"`\n" {
        return Err(Defect::ArHeader("end mark"));
    }
    let name = str::from_utf8(&bytes[..16])
        .ok()
        .map(|name| name.trim_end_matches(' '))
        .map(|name| name.strip_suffix('/').unwrap_or(name))
        .filter(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()))
        .ok_or(Defect::ArHeader("name"))?;
    let size = str::from_utf8(&bytes[48..58])
        .ok()
        .map(|size| size.trim_end_matches(' '))
        .filter(|size| !size.is_empty() && size.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|size| size.parse().ok())
        .ok_or(Defect::ArHeader("size"))?;
    Ok(Some(Header {
        name: name.to_owned(),
        size,
    }))
}

/// Skips the byte that pads content of odd `size`. It may be missing behind the last member.
pub(super) fn skip_padding(reader: &mut impl Read, size: u64) -> Result<(), Defect> {
    if size % 2 == 1 {
        let mut byte = [0];
        while let Err(error) = reader.read(&mut byte) {
            if error.kind() != std::io::ErrorKind::Interrupted {
                return Err(error.into());
            }
        }
    }
    Ok(())
}
