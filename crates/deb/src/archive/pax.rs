//! pax extended headers (POSIX.1-2017 pax, "pax Extended Header"): records of the form `LENGTH KEY=VALUE\n`.

use super::Defect;
use super::header::Header;

/// The fields that one extended header overrides.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Extended {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    mtime: Option<i64>,
}

impl Extended {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Parses the records. A key that changes the meaning of an entry and is not understood (extended attributes,
    /// sparse files) is refused rather than dropped.
    pub(super) fn parse(mut records: &[u8]) -> Result<Self, Defect> {
        const DEFECT: Defect = Defect::TarHeader("pax record");
        let mut extended = Self::default();
        while !records.is_empty() {
            let blank = records
                .iter()
                .take(8)
                .position(|&byte| byte == b' ')
                .ok_or(DEFECT)?;
            let length = decimal(&records[..blank])
                .and_then(|length| usize::try_from(length).ok())
                .filter(|&length| length > blank + 1 && length <= records.len())
                .ok_or(DEFECT)?;
            let (record, rest) = records.split_at(length);
            records = rest;
            let record = record[blank + 1..].strip_suffix(b"\n").ok_or(DEFECT)?;
            let equals = record.iter().position(|&byte| byte == b'=').ok_or(DEFECT)?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            match key {
                b"path" => extended.path = Some(value.to_vec()),
                b"linkpath" => extended.link = Some(value.to_vec()),
                b"size" => extended.size = Some(decimal(value).ok_or(DEFECT)?),
                b"uid" => extended.uid = Some(decimal(value).ok_or(DEFECT)?),
                b"gid" => extended.gid = Some(decimal(value).ok_or(DEFECT)?),
                b"mtime" => extended.mtime = Some(seconds(value).ok_or(DEFECT)?),
                b"atime" | b"ctime" | b"comment" | b"uname" | b"gname" => {}
                _ => return Err(Defect::PaxKey(String::from_utf8_lossy(key).into_owned())),
            }
        }
        Ok(extended)
    }

    /// Puts the numbers in the place of the header's.
    pub(super) fn apply(&self, header: &mut Header) {
        header.size = self.size.unwrap_or(header.size);
        header.uid = self.uid.unwrap_or(header.uid);
        header.gid = self.gid.unwrap_or(header.gid);
        header.mtime = self.mtime.unwrap_or(header.mtime);
    }
}

fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(text).ok()?.parse().ok()
}

/// Whole seconds, rounded towards the past, of a decimal with optional sign and fraction.
fn seconds(text: &[u8]) -> Option<i64> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = match text.iter().position(|&byte| byte == b'.') {
        Some(point) => (&text[..point], &text[point + 1..]),
        None => (text, &b""[..]),
    };
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let whole = i64::try_from(decimal(whole)?).ok()?;
    let past = i64::from(negative && fraction.iter().any(|&digit| digit != b'0'));
    Some(if negative { -whole - past } else { whole })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records() {
        let extended = Extended::parse(b"12 path=a/b\n20 mtime=-1.5000000\n").unwrap();
        assert_eq!(extended.path.unwrap(), b"a/b");
        assert_eq!(extended.mtime, Some(-2));
        for bad in [
            &b"11 path=a/b\n"[..],
            b"99 path=a/b\n",
            b"path=a/b\n",
            b"0 \n",
            b"5 =\n\n",
            b"10 size=-1\n",
            b"31 SCHILY.xattr.security.x=abcd\n",
        ] {
            assert!(Extended::parse(bad).is_err(), "{}", bad.escape_ascii());
        }
    }
}
