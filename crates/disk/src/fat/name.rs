use std::collections::BTreeSet;

use super::{ATTRIBUTE_LONG_NAME, ENTRY};

/// UTF-16 units in one entry of a long name.
const UNITS: usize = 13;
/// Where in an entry the units lie.
const PLACES: [usize; UNITS] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];

/// Base (8) and extension (3), padded with spaces.
pub(super) type ShortName = [u8; 11];

/// Why FAT cannot hold `name`, if it cannot.
pub(super) fn fault(name: &str) -> Option<&'static str> {
    if name.is_empty() || name == "." || name == ".." {
        return Some("a name is empty, `.` or `..`");
    }
    if name.ends_with(['.', ' ']) {
        return Some("a name ends with a dot or space, which systems drop");
    }
    if name.contains(|c: char| c.is_control() || r#""*/:<>?\|"#.contains(c)) {
        return Some("a name has a character that FAT cannot hold");
    }
    if name.encode_utf16().count() > 255 {
        return Some("a name has more than 255 UTF-16 units");
    }
    None
}

/// Chooses the short name of `name` and adds it to `taken`. The second value tells whether it spells the name exactly, so
/// that no long name is needed.
pub(super) fn shorten(name: &str, taken: &mut BTreeSet<ShortName>) -> (ShortName, bool) {
    let (base, extension) = match name.rsplit_once('.') {
        Some((base, extension)) if !base.is_empty() => (base, extension),
        _ => (name, ""),
    };
    let (base_short, base_exact) = clean(base);
    let (mut extension_short, extension_exact) = clean(extension);
    let fits = base_short.len() <= 8 && extension_short.len() <= 3;
    extension_short.truncate(3);
    if base_exact && extension_exact && fits && !base_short.is_empty() {
        let short = join(&base_short, &extension_short);
        if taken.insert(short) {
            return (short, show(&short) == name);
        }
    }
    for number in 1_u32.. {
        let tail = format!("~{number}");
        let mut numbered = base_short.clone();
        numbered.truncate(8 - tail.len());
        numbered.extend(tail.as_bytes());
        let short = join(&numbered, &extension_short);
        if taken.insert(short) {
            return (short, false);
        }
    }
    unreachable!("a directory holds fewer entries than there are numbers")
}

/// Upper-case short characters of `text`, and whether nothing but letter case was lost.
fn clean(text: &str) -> (Vec<u8>, bool) {
    let mut exact = true;
    let mut short = Vec::new();
    for character in text.chars() {
        match character {
            ' ' | '.' => exact = false,
            c if c.is_ascii_alphanumeric() || "!#$%&'()-@^_`{}~".contains(c) => {
                short.push(c.to_ascii_uppercase() as u8);
            }
            _ => {
                short.push(b'_');
                exact = false;
            }
        }
    }
    (short, exact)
}

fn join(base: &[u8], extension: &[u8]) -> ShortName {
    let mut short = [b' '; 11];
    short[..base.len()].copy_from_slice(base);
    short[8..8 + extension.len()].copy_from_slice(extension);
    short
}

/// The short name as text: `BASE.EXT`. Bytes beyond ASCII, whose code page is unknown, become U+FFFD.
pub(super) fn show(short: &ShortName) -> String {
    let text = |part: &[u8]| -> String {
        let end = part.iter().rposition(|byte| *byte != b' ');
        let part = &part[..end.map_or(0, |end| end + 1)];
        part.iter()
            .map(|byte| {
                if byte.is_ascii() {
                    *byte as char
                } else {
                    char::REPLACEMENT_CHARACTER
                }
            })
            .collect()
    };
    match text(&short[8..]) {
        extension if extension.is_empty() => text(&short[..8]),
        extension => format!("{}.{extension}", text(&short[..8])),
    }
}

/// The checksum that ties the entries of a long name to their short one.
pub(super) fn checksum(short: &ShortName) -> u8 {
    short
        .iter()
        .fold(0_u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte))
}

/// The entries of the long name `name`, in their order on disk: last part first.
pub(super) fn long_entries(name: &str, short: &ShortName) -> Vec<[u8; ENTRY]> {
    let mut units: Vec<u16> = name.encode_utf16().collect();
    // A terminator, then filler, unless the name ends with its entry.
    if !units.len().is_multiple_of(UNITS) {
        units.push(0);
        units.resize(units.len().next_multiple_of(UNITS), 0xffff);
    }
    let count = units.len() / UNITS;
    let parts = units.chunks_exact(UNITS).zip(1_u8..);
    let mut entries: Vec<[u8; ENTRY]> = parts
        .map(|(part, number)| {
            let last = usize::from(number) == count;
            let mut entry = [0; ENTRY];
            entry[0] = if last { number | 0x40 } else { number };
            entry[11] = ATTRIBUTE_LONG_NAME;
            entry[13] = checksum(short);
            for (unit, place) in part.iter().zip(PLACES) {
                entry[place..place + 2].copy_from_slice(&unit.to_le_bytes());
            }
            entry
        })
        .collect();
    entries.reverse();
    entries
}

/// Puts a long name together from its entries as they come from disk.
#[derive(Debug, Default)]
pub(super) struct LongName {
    /// Units of the parts so far, in the order of the name.
    units: Vec<u16>,
    checksum: u8,
    /// Number of the part that must come next; 0 when the name is complete.
    next: u8,
}

impl LongName {
    /// Takes an entry with the attribute of long names; anything out of sequence drops the name.
    pub(super) fn push(&mut self, entry: &[u8]) {
        let number = entry[0] & 0x3f;
        if entry[0] & 0x40 != 0 {
            *self = Self {
                units: Vec::new(),
                checksum: entry[13],
                next: number,
            };
        }
        if number == 0 || number > 20 || number != self.next || entry[13] != self.checksum {
            *self = Self::default();
            return;
        }
        self.next -= 1;
        let part = PLACES.map(|place| u16::from_le_bytes([entry[place], entry[place + 1]]));
        self.units.splice(..0, part);
    }

    /// The complete name, if it belongs to `short`.
    pub(super) fn take(&mut self, short: &ShortName) -> Option<String> {
        let name = std::mem::take(self);
        if name.units.is_empty() || name.next != 0 || name.checksum != checksum(short) {
            return None;
        }
        let end = name.units.iter().position(|unit| *unit == 0);
        let text = String::from_utf16(&name.units[..end.unwrap_or(name.units.len())]).ok()?;
        (!text.is_empty() && !text.contains(['/', '\0'])).then_some(text)
    }
}
