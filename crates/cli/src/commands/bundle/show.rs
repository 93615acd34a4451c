//! A bundle for people and for programs.

use std::fmt::Write as _;

use bedstone_bundle::Contents;
use bedstone_bundle::description::{Compression, Description, Entry, Property, Section, Variable};
use bedstone_bundle::signature::Names;
use serde_json::{Map, Value, json};

/// A bundle as one object.
pub(super) fn to_json(description: &Description, signed_by: &Names, contents: &Contents) -> Value {
    let sections: Vec<Value> = described(description)
        .map(|(path, section)| {
            json!({
                "selection": path,
                "hardware": section.hardware,
                "images": entries(section.images.as_deref(), "raw"),
                "files": entries(section.files.as_deref(), "rawfile"),
                "scripts": entries(section.scripts.as_deref(), "lua"),
                "bootenv": variables(section.bootenv.as_deref()),
                "vars": variables(section.vars.as_deref()),
            })
        })
        .collect();
    json!({
        "version": 1,
        "kind": "bedstone.bundle",
        "bundle_version": description.version,
        "name": description.name,
        "description": description.description,
        "signer": signer(signed_by),
        "sections": sections,
        "members": members(contents),
        "unlisted": contents.unlisted,
        "unlisted_count": contents.unlisted_count,
        "data_follows": contents.follows,
    })
}

/// Sections that say something; the base's always.
fn described(description: &Description) -> impl Iterator<Item = (Vec<&str>, &Section)> {
    description
        .sections()
        .into_iter()
        .filter(|(path, section)| path.is_empty() || **section != Section::default())
}

pub(super) fn signer(names: &Names) -> Value {
    json!({
        "subject": names.subject,
        "issuer": names.issuer,
        "sha256": names.fingerprint,
        "not_before": names.not_before,
        "not_after": names.not_after,
    })
}

pub(super) fn members(contents: &Contents) -> Vec<Value> {
    contents
        .members
        .iter()
        .map(|member| {
            json!({
                "name": member.name,
                "size": member.size,
                "content_size": member.content.map(|(size, _)| size),
                "content_sha256": member.content.map(|(_, digest)| digest),
            })
        })
        .collect()
}

fn entries(entries: Option<&[Entry]>, handler: &str) -> Vec<Value> {
    let entry = |entry: &Entry| {
        let properties: Map<String, Value> = entry
            .properties
            .iter()
            .map(|(name, property)| {
                let value = match property {
                    Property::One(text) => json!(text),
                    Property::Many(texts) => json!(texts),
                };
                (name.clone(), value)
            })
            .collect();
        json!({
            "file": entry.filename,
            "sha256": entry.sha256,
            "type": entry.handler.as_deref().unwrap_or(handler),
            "device": entry.device,
            "path": entry.path,
            "filesystem": entry.filesystem,
            "name": entry.name,
            "version": entry.version,
            "compressed": compression(entry.compression),
            "encrypted": entry.encryption.is_some(),
            "properties": properties,
        })
    };
    entries.into_iter().flatten().map(entry).collect()
}

fn variables(variables: Option<&[Variable]>) -> Vec<Value> {
    variables
        .into_iter()
        .flatten()
        .map(|variable| json!({"name": variable.name, "value": variable.value}))
        .collect()
}

fn compression(compression: Compression) -> Option<&'static str> {
    match compression {
        Compression::None => None,
        Compression::Zlib => Some("zlib"),
        Compression::Zstd => Some("zstd"),
    }
}

/// A bundle as it is shown.
pub(super) fn to_text(description: &Description, signer: &Names, contents: &Contents) -> String {
    let mut text = format!(
        "{} {}\n  signed by   {} (not checked for trust: `bedstone bundle verify` does)\n  \
         certificate sha256:{}, {} to {}\n",
        plain(description.name.as_deref().unwrap_or("bundle")),
        plain(&description.version),
        signer.subject,
        signer.fingerprint,
        signer.not_before,
        signer.not_after,
    );
    for (path, section) in described(description) {
        if !path.is_empty() {
            let _ = writeln!(text, "\n  when {} is selected", plain(&path.join(",")));
        }
        if let Some(hardware) = &section.hardware {
            let _ = writeln!(text, "  hardware    {}", plain(&hardware.join(", ")));
        }
        for (group, handler, entries) in [
            ("image", "raw", &section.images),
            ("file", "rawfile", &section.files),
            ("script", "lua", &section.scripts),
        ] {
            for entry in entries.iter().flatten() {
                write_entry(&mut text, group, handler, entry);
            }
        }
        for variable in section.bootenv.iter().flatten() {
            let _ = writeln!(
                text,
                "  boot env    {}={}",
                plain(&variable.name),
                plain(&variable.value)
            );
        }
    }
    text.push('\n');
    text.push_str(&contents_text(contents));
    text
}

fn write_entry(text: &mut String, group: &str, handler: &str, entry: &Entry) {
    let compressed = compression(entry.compression).map_or("", |name| match name {
        "zlib" => ", zlib",
        _ => ", zstd",
    });
    let encrypted = entry.encryption.map_or("", |_| ", encrypted");
    let _ = writeln!(
        text,
        "  {group:<11} {}: {}{compressed}{encrypted}",
        entry.filename.as_deref().unwrap_or("(no file)"),
        plain(entry.handler.as_deref().unwrap_or(handler)),
    );
    for place in [&entry.device, &entry.path] {
        // One line for each slot.
        for part in place.iter().flat_map(|place| place.split(',')) {
            let _ = writeln!(text, "              to {}", plain(part));
        }
    }
    for (name, property) in &entry.properties {
        let value = match property {
            Property::One(value) => plain(value),
            Property::Many(values) => plain(&values.join(", ")),
        };
        let _ = writeln!(text, "              {} = {value}", plain(name));
    }
}

/// Text of strangers, without what would move the terminal's cursor.
pub(super) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect()
}

/// The members with their sizes, and what should not be there.
pub(super) fn contents_text(contents: &Contents) -> String {
    let mut text = format!("  {:<20} {:>12} {:>12}\n", "member", "stored", "content");
    for member in &contents.members {
        let content = member
            .content
            .map_or_else(|| "encrypted".to_owned(), |(size, _)| size.to_string());
        let _ = writeln!(
            text,
            "  {:<20} {:>12} {content:>12}",
            member.name, member.size
        );
    }
    if contents.unlisted_count > 0 {
        let _ = writeln!(
            text,
            "  {} members are not listed, and nobody signed them: {}",
            contents.unlisted_count,
            contents.unlisted.join(", ")
        );
    }
    if contents.follows {
        text.push_str("  data follow the archive's end, and nobody signed them\n");
    }
    text
}
