//! Images, files and scripts.

use std::collections::BTreeMap;

use bedstone_store::Digest;

use super::fields::{Fields, ill_typed, text, wrong};
use super::{Compression, Encryption, Entry, Property};
use crate::document::{Node, Value};
use crate::error::Result;

/// Longest file name of a member: SWUpdate keeps names in 256 bytes with their NUL.
pub(crate) const NAME_LIMIT: usize = 255;

pub(super) fn read(path: &str, node: Node) -> Result<Entry> {
    let mut fields = Fields::of(path, node)?;
    let entry = Entry {
        line: fields.line(),
        filename: filename(&mut fields)?,
        sha256: digest(&mut fields)?,
        handler: fields.text("type")?,
        device: fields.text("device")?,
        path: fields.text("path")?,
        filesystem: fields.text("filesystem")?,
        name: fields.text("name")?,
        version: fields.text("version")?,
        volume: fields.text("volume")?,
        mtdname: fields.text("mtdname")?,
        data: fields.text("data")?,
        size: fields.count("size")?,
        offset: offset(&mut fields)?,
        compression: compression(&mut fields)?,
        encryption: encryption(&mut fields)?,
        installed_directly: fields.flag("installed-directly")?.unwrap_or(false),
        preserve_attributes: fields.flag("preserve-attributes")?.unwrap_or(false),
        install_if_different: fields.flag("install-if-different")?.unwrap_or(false),
        install_if_higher: fields.flag("install-if-higher")?.unwrap_or(false),
        preinstall: fields.text("preinstall")?,
        postinstall: fields.text("postinstall")?,
        hook: fields.text("hook")?,
        properties: properties(&mut fields)?,
    };
    let line = fields.line();
    fields.finish()?;
    match (&entry.filename, &entry.sha256) {
        (Some(_), None) => {
            let reason = "is missing: every member has a digest";
            Err(wrong(line, &format!("{path}.sha256"), reason))
        }
        (None, Some(_)) => Err(wrong(line, &format!("{path}.filename"), "is missing")),
        _ => Ok(entry),
    }
}

fn filename(fields: &mut Fields) -> Result<Option<String>> {
    let path = fields.path_of("filename");
    let line = fields.line();
    let filename = fields.text("filename")?;
    match &filename {
        Some(name) if !is_plain(name) => {
            let reason = "is no plain file name";
            Err(wrong(line, &path, reason))
        }
        _ => Ok(filename),
    }
}

/// Whether a member of a bundle may be called this: one component of a path, and none of the two names that mean others.
pub(crate) fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= NAME_LIMIT
        && name != "."
        && !name.contains("..")
        && !name.contains(|c: char| c == '/' || c == '\\' || c.is_control())
}

fn digest(fields: &mut Fields) -> Result<Option<Digest>> {
    let path = fields.path_of("sha256");
    let line = fields.line();
    let Some(text) = fields.text("sha256")? else {
        return Ok(None);
    };
    // SWUpdate reads upper-case digits too.
    match text.to_ascii_lowercase().parse() {
        Ok(digest) => Ok(Some(digest)),
        Err(_) => Err(wrong(line, &path, "is not 64 hexadecimal digits")),
    }
}

/// A number of bytes, or text with a suffix of powers of 1024.
fn offset(fields: &mut Fields) -> Result<u64> {
    let path = fields.path_of("offset");
    let Some(node) = fields.take("offset") else {
        return Ok(0);
    };
    let line = node.line;
    let offset = match node.value {
        Value::Number(number) => u64::try_from(number).ok(),
        Value::Text(text) => scaled(&text),
        other => return Err(ill_typed(line, &path, "a number of bytes", &other)),
    };
    offset.ok_or_else(|| wrong(line, &path, "is not a number of bytes"))
}

fn scaled(text: &str) -> Option<u64> {
    let (digits, shift) = match text.as_bytes().last()? {
        b'K' => (&text[..text.len() - 1], 10),
        b'M' => (&text[..text.len() - 1], 20),
        b'G' => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let hexadecimal = digits.strip_prefix("0x");
    let number = match hexadecimal {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            u64::from_str_radix(digits, 16).ok()?
        }
        None if digits.bytes().all(|byte| byte.is_ascii_digit())
            && (digits == "0" || !digits.starts_with('0')) =>
        {
            digits.parse().ok()?
        }
        _ => return None,
    };
    number.checked_mul(1 << shift)
}

fn compression(fields: &mut Fields) -> Result<Compression> {
    let path = fields.path_of("compressed");
    let Some(node) = fields.take("compressed") else {
        return Ok(Compression::None);
    };
    match node.value {
        Value::Flag(false) => Ok(Compression::None),
        // Before there was a choice, `true` meant this.
        Value::Flag(true) => Ok(Compression::Zlib),
        Value::Text(text) => match &*text {
            "zlib" => Ok(Compression::Zlib),
            "zstd" => Ok(Compression::Zstd),
            other => {
                let reason = format!(
                    "names `{}`; `zlib` and `zstd` are supported",
                    other.escape_debug()
                );
                Err(wrong(node.line, &path, reason))
            }
        },
        other => Err(ill_typed(node.line, &path, "`zlib` or `zstd`", &other)),
    }
}

fn encryption(fields: &mut Fields) -> Result<Option<Encryption>> {
    let path = fields.path_of("ivt");
    let line = fields.line();
    let encrypted = fields.flag("encrypted")?.unwrap_or(false);
    let iv = match fields.text("ivt")? {
        None => None,
        Some(text) => match crate::crypt::from_hex(&text) {
            Some(iv) => Some(iv),
            None => return Err(wrong(line, &path, "is not 32 hexadecimal digits")),
        },
    };
    match (encrypted, iv) {
        (true, iv) => Ok(Some(Encryption { iv })),
        (false, None) => Ok(None),
        (false, Some(_)) => Err(wrong(line, &path, "is given, but `encrypted` is not true")),
    }
}

fn properties(fields: &mut Fields) -> Result<BTreeMap<String, Property>> {
    let path = fields.path_of("properties");
    let Some(node) = fields.take("properties") else {
        return Ok(BTreeMap::new());
    };
    Fields::of(&path, node)?
        .rest()
        .map(|(name, node)| {
            let path = format!("{path}.{name}");
            let property = match node.value {
                Value::List(items) => Property::Many(
                    items
                        .into_iter()
                        .map(|item| text(&path, item))
                        .collect::<Result<_>>()?,
                ),
                _ => Property::One(text(&path, node)?),
            };
            Ok((name, property))
        })
        .collect()
}
