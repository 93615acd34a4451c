//! `multipart/byteranges` (RFC 9110, section 14.6; RFC 2046, section 5.1).

use std::io::{self, BufRead, Read};

/// The longest line of a part's header or before the first part, in bytes.
const MAX_LINE: u64 = 8 << 10;
/// The most lines that are passed over in search of a part.
const MAX_LINES: usize = 100;

/// The value of a `Content-Range` field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ContentRange {
    /// First byte.
    pub(super) start: u64,
    /// Behind the last byte; above `start`.
    pub(super) end: u64,
    /// Length of the whole file, if it is told.
    pub(super) total: Option<u64>,
}

impl ContentRange {
    /// Parses `bytes FIRST-LAST/TOTAL`.
    pub(super) fn parse(value: &str) -> Option<Self> {
        let (unit, rest) = value.trim().split_once(char::is_whitespace)?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return None;
        }
        let (range, total) = rest.trim().split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let start = number(first)?;
        let end = number(last)?.checked_add(1)?;
        let total = match total.trim() {
            "*" => None,
            total => Some(number(total)?),
        };
        (start < end && total.is_none_or(|total| end <= total)).then_some(Self {
            start,
            end,
            total,
        })
    }
}

fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    // `parse` would take a sign.
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

/// The boundary in a `Content-Type` of `multipart/byteranges`, in quotes or not.
pub(super) fn boundary(content_type: &str) -> Option<String> {
    let mut fields = content_type.split(';');
    if !fields
        .next()?
        .trim()
        .eq_ignore_ascii_case("multipart/byteranges")
    {
        return None;
    }
    let value = fields.find_map(|field| {
        let (name, value) = field.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("boundary")
            .then_some(value.trim())
    })?;
    let value = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'))
        .unwrap_or(value);
    (!value.is_empty()).then(|| value.to_owned())
}

/// Reads on to the first byte of the next part and returns which bytes of the file it has. `None` at the last boundary.
pub(super) fn next_part(
    reader: &mut impl BufRead,
    boundary: &str,
) -> io::Result<Option<ContentRange>> {
    let invalid = |reason: &str| io::Error::new(io::ErrorKind::InvalidData, reason.to_owned());
    let mut line = Vec::new();
    let mut lines = 0;
    let mut next_line = |line: &mut Vec<u8>| {
        line.clear();
        lines += 1;
        reader.by_ref().take(MAX_LINE).read_until(b'\n', line)?;
        if lines > MAX_LINES || line.len() as u64 == MAX_LINE {
            return Err(invalid("no part where one should be"));
        }
        if line.pop_if(|byte| *byte == b'\n').is_none() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line.pop_if(|byte| *byte == b'\r');
        Ok(())
    };
    loop {
        let outcome = next_line(&mut line);
        let delimiter = line
            .strip_prefix(b"--")
            .and_then(|rest| rest.strip_prefix(boundary.as_bytes()));
        match delimiter {
            // Some servers put no line end behind the last one.
            Some(rest) if rest.starts_with(b"--") => return Ok(None),
            Some(rest) if rest.trim_ascii().is_empty() => {
                outcome?;
                break;
            }
            _ => outcome?,
        }
    }
    let mut range = None;
    loop {
        next_line(&mut line)?;
        if line.is_empty() {
            return range
                .map(Some)
                .ok_or_else(|| invalid("a part without a `Content-Range` that can be read"));
        }
        let text = String::from_utf8_lossy(&line);
        if let Some((name, value)) = text.split_once(':')
            && name.trim().eq_ignore_ascii_case("content-range")
        {
            range = ContentRange::parse(value);
        }
    }
}
