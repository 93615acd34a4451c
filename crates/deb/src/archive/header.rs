//! One 512-byte tar header block (POSIX.1-2017 pax, "ustar Interchange Format", and GNU's variant).

use super::Defect;

/// Size of a tar block in bytes.
pub(super) const BLOCK: usize = 512;

/// The fields of a header block that matter here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    /// `prefix/name`, not yet normalised.
    pub(super) path: Vec<u8>,
    /// Target of a link.
    pub(super) link: Vec<u8>,
    /// Kind of the entry.
    pub(super) flag: u8,
    /// Permission bits and set-id bits.
    pub(super) mode: u32,
    /// Owner.
    pub(super) uid: u64,
    /// Group.
    pub(super) gid: u64,
    /// Content length in bytes.
    pub(super) size: u64,
    /// Modification time in seconds since the epoch.
    pub(super) mtime: i64,
}

impl Header {
    /// Parses a block that is not all zero.
    pub(super) fn parse(block: &[u8; BLOCK]) -> Result<Self, Defect> {
        let sum = u64::try_from(number(&block[148..156], "checksum")?)
            .map_err(|_| Defect::TarHeader("checksum"))?;
        let actual: u64 = block
            .iter()
            .enumerate()
            .map(|(index, &byte)| {
                u64::from(if (148..156).contains(&index) {
                    b' '
                } else {
                    byte
                })
            })
            .sum();
        if sum != actual {
            return Err(Defect::TarHeader("checksum"));
        }
        let mut path = text(&block[..100]).to_vec();
        match &block[257..265] {
            b"ustar\x0000" => {
                let prefix = text(&block[345..500]);
                if !prefix.is_empty() {
                    path = [prefix, b"/", &path].concat();
                }
            }
            // GNU puts times where ustar has its prefix; the seventh edition has no magic at all.
            b"ustar  \0" | [0, 0, 0, 0, 0, 0, 0, 0] => {}
            _ => return Err(Defect::TarHeader("magic")),
        }
        Ok(Self {
            path,
            link: text(&block[157..257]).to_vec(),
            flag: block[156],
            mode: unsigned(&block[100..108], "mode")? as u32 & 0o7777,
            uid: unsigned(&block[108..116], "uid")?,
            gid: unsigned(&block[116..124], "gid")?,
            size: unsigned(&block[124..136], "size")?,
            mtime: number(&block[136..148], "mtime")?,
        })
    }
}

/// A field up to its first NUL.
fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|&byte| byte == 0);
    &field[..end.unwrap_or(field.len())]
}

fn unsigned(field: &[u8], name: &'static str) -> Result<u64, Defect> {
    u64::try_from(number(field, name)?).map_err(|_| Defect::TarHeader(name))
}

/// Octal digits between blanks and ended by a blank, a NUL or the field; or, with the top bit set, base 256 in two's
/// complement (GNU). An empty field is zero.
fn number(field: &[u8], name: &'static str) -> Result<i64, Defect> {
    let defect = Defect::TarHeader(name);
    if field[0] & 0x80 != 0 {
        let negative = field[0] & 0x40 != 0;
        let mut value = if negative { -1i64 } else { 0 };
        for (index, &byte) in field.iter().enumerate() {
            // The top bit of the first byte is the mark; the next one is the sign.
            let byte = match (index, negative) {
                (0, true) => byte | 0x80,
                (0, false) => byte & 0x7f,
                _ => byte,
            };
            value = value.checked_mul(256).ok_or(Defect::TarHeader(name))? | i64::from(byte);
        }
        return Ok(value);
    }
    let mut value = 0i64;
    let mut ended = false;
    let start = field.iter().take_while(|&&byte| byte == b' ').count();
    for &byte in &field[start..] {
        match byte {
            b'0'..=b'7' if !ended => {
                value =
                    value.checked_mul(8).ok_or(Defect::TarHeader(name))? + i64::from(byte - b'0');
            }
            b' ' | 0 => ended = true,
            _ => return Err(defect),
        }
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(number(b"0000644\0", "mode").unwrap(), 0o644);
        assert_eq!(number(b"   644 \0", "mode").unwrap(), 0o644);
        assert_eq!(number(b"\0\0\0\0\0\0\0\0", "mode").unwrap(), 0);
        assert_eq!(
            number(b"\x80\0\0\0\0\0\0\0\0\0\x01\0", "size").unwrap(),
            256
        );
        assert_eq!(number(&[0xff; 12], "mtime").unwrap(), -1);
        assert!(number(b"9", "mode").is_err());
        assert!(number(b"1 1", "mode").is_err());
        assert!(number(b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "size").is_err());
    }
}
