use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Lock, Locked};

pub(super) fn write(lock: &Lock) -> String {
    let mut text = String::from("# Written by `bedstone lock`. Do not edit.\nversion = 1\n");
    pair(&mut text, "architecture", &lock.architecture);
    if let Some(request) = &lock.request {
        pair(&mut text, "request", &request.to_string());
    }
    number(&mut text, "epoch", lock.epoch);
    let mut sources: Vec<_> = lock.sources.iter().collect();
    sources.sort_by_key(|source| (&source.name, &source.suite));
    for source in sources {
        text.push_str("\n[[source]]\n");
        pair(&mut text, "name", &source.name);
        pair(&mut text, "suite", &source.suite);
        let components: Vec<String> = source.components.iter().map(|name| quoted(name)).collect();
        pair_raw(
            &mut text,
            "components",
            &format!("[{}]", components.join(", ")),
        );
        pair(
            &mut text,
            "release-sha256",
            &source.release_sha256.to_string(),
        );
        number(&mut text, "release-date", source.release_date);
    }
    for (table, packages) in [
        ("package", &lock.packages),
        ("tool", &lock.tools),
        ("boot", &lock.boot),
    ] {
        let mut packages: Vec<&Locked> = packages.iter().collect();
        packages.sort_by(|left, right| left.key().cmp(&right.key()));
        for package in packages {
            write_package(&mut text, table, package);
        }
    }
    write_ids(&mut text, "users", &lock.users);
    write_ids(&mut text, "groups", &lock.groups);
    text
}

fn write_package(text: &mut String, table: &str, package: &Locked) {
    text.push_str("\n[[");
    text.push_str(table);
    text.push_str("]]\n");
    pair(text, "name", &package.name);
    pair(text, "version", &package.version);
    pair(text, "architecture", &package.architecture);
    pair(text, "sha256", &package.sha256.to_string());
    number(text, "size", package.size);
    pair(text, "source", &package.source);
    pair(text, "source-version", &package.source_version);
    pair(text, "origin", &package.origin);
    pair(text, "filename", &package.filename);
}

fn write_ids(text: &mut String, kind: &str, ids: &BTreeMap<String, u32>) {
    if ids.is_empty() {
        return;
    }
    text.push_str("\n[ids.");
    text.push_str(kind);
    text.push_str("]\n");
    for (name, id) in ids {
        let bare = !name.is_empty()
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        let key = if bare { name.clone() } else { quoted(name) };
        number(text, &key, u64::from(*id));
    }
}

fn pair(text: &mut String, key: &str, value: &str) {
    pair_raw(text, key, &quoted(value));
}

fn number(text: &mut String, key: &str, value: u64) {
    pair_raw(text, key, &value.to_string());
}

fn pair_raw(text: &mut String, key: &str, value: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{key} = {value}");
}

/// A TOML basic string.
fn quoted(value: &str) -> String {
    let mut quoted = String::from("\"");
    for c in value.chars() {
        match c {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(c);
            }
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", c as u32);
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
