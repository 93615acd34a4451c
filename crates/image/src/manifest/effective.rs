use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;

use super::{Composition, Interface, Manifest};
use crate::document::text::{HostName, InterfacePattern, Name};

impl Manifest {
    /// The manifest with those defaults filled in that depend on other values.
    #[must_use]
    pub fn with_defaults(&self) -> Self {
        let mut full = self.clone();
        if full.profiles.is_empty() {
            full.profiles.push(Name::fixed("minimal"));
        }
        if full.network.hostname.is_none() {
            full.network.hostname = HostName::try_from(&*full.product.name).ok();
        }
        if full.network.interfaces.is_empty() {
            let dhcp = Interface {
                dhcp: true,
                ..Interface::default()
            };
            full.network.interfaces = BTreeMap::from([
                (InterfacePattern::fixed("en*"), dhcp.clone()),
                (InterfacePattern::fixed("eth*"), dhcp),
            ]);
        }
        full.root.compression = Some(full.root.effective_compression());
        full
    }
}

/// The whole manifest as TOML, defaults included, each value with a comment that says which layer it came from.
///
/// Reading the result gives the same manifest again.
pub fn effective(composition: &Composition) -> String {
    let full = composition.manifest.with_defaults();
    let value = serde_json::to_value(&full).unwrap_or_default();
    let mut out = String::from("# Layers, lowest first:\n");
    for layer in &composition.layers {
        let _ = writeln!(out, "#   {}", layer.name);
    }
    table(composition, &value, &mut Vec::new(), &mut out);
    out
}

fn table(composition: &Composition, value: &Value, path: &mut Vec<String>, out: &mut String) {
    let Value::Object(entries) = value else {
        return;
    };
    // TOML wants a table's own values before its sub-tables.
    for (key, value) in entries {
        if !value.is_object() {
            path.push(key.clone());
            scalar_or_list(composition, key, value, path, out);
            path.pop();
        }
    }
    for (key, value) in entries {
        if value.is_object() {
            path.push(key.clone());
            let name: Vec<String> = path.iter().map(|step| key_text(step)).collect();
            let _ = writeln!(out, "\n[{}]", name.join("."));
            table(composition, value, path, out);
            path.pop();
        }
    }
}

fn scalar_or_list(
    composition: &Composition,
    key: &str,
    value: &Value,
    path: &[String],
    out: &mut String,
) {
    let steps: Vec<&str> = path.iter().map(String::as_str).collect();
    let key = key_text(key);
    match value {
        Value::Array(items) if !items.is_empty() => {
            let _ = writeln!(out, "{key} = [");
            for (index, item) in items.iter().enumerate() {
                let index = index.to_string();
                let mut steps = steps.clone();
                steps.push(&index);
                let origin = composition.origin_text(&steps);
                let _ = writeln!(out, "    {},  # {origin}", value_text(item));
            }
            out.push_str("]\n");
        }
        other => {
            let origin = composition.origin_text(&steps);
            let _ = writeln!(out, "{key} = {}  # {origin}", value_text(other));
        }
    }
}

fn key_text(key: &str) -> String {
    let bare = !key.is_empty()
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if bare {
        key.to_owned()
    } else {
        basic_string(key)
    }
}

fn value_text(value: &Value) -> String {
    match value {
        Value::String(text) => basic_string(text),
        Value::Array(_) => "[]".to_owned(),
        other => other.to_string(),
    }
}

/// A TOML basic string on one line, so that its comment can follow.
fn basic_string(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
