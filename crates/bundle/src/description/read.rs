//! From a tree to a description.

use std::collections::BTreeMap;

use super::fields::{Fields, ill_typed, text, unknown, wrong};
use super::{Alternative, Description, Entry, Section, Variable, entry};
use crate::document::{Node, Value};
use crate::error::Result;

pub(super) fn description(root: Node) -> Result<Description> {
    let mut root = Fields::of("", root)?;
    let Some(software) = root.take("software") else {
        return Err(wrong(root.line(), "software", "is missing"));
    };
    root.finish()?;
    let mut fields = Fields::of("", software)?;
    let Some(version) = fields.text("version")? else {
        return Err(wrong(fields.line(), "version", "is missing"));
    };
    let description = Description {
        version,
        description: fields.text("description")?,
        name: fields.text("name")?,
        update_type: fields.text("update-type")?,
        state_marker: fields.flag("bootloader_state_marker")?,
        transaction_marker: fields.flag("bootloader_transaction_marker")?,
        reboot: reboot(&mut fields)?,
        output: fields.text("output")?,
        namespace_for_vars: fields.text("namespace-for-vars")?,
        embedded_script: fields.text("embedded-script")?,
        base: section(&mut fields)?,
        alternatives: alternatives("", fields)?,
    };
    one_form_each(&description)?;
    Ok(description)
}

/// A truth value, or one of two words.
fn reboot(fields: &mut Fields) -> Result<Option<bool>> {
    match fields.take("reboot") {
        None => Ok(None),
        Some(Node { value, line }) => match value {
            Value::Flag(flag) => Ok(Some(flag)),
            Value::Text(text) if text == "enabled" => Ok(Some(true)),
            Value::Text(text) if text == "disabled" => Ok(Some(false)),
            Value::Text(_) => Err(wrong(line, "reboot", "is neither `enabled` nor `disabled`")),
            other => Err(ill_typed(line, "reboot", "true or false", &other)),
        },
    }
}

fn section(fields: &mut Fields) -> Result<Section> {
    // `uboot` is the name that `bootenv` had first.
    let bootenv = fields.list("bootenv", variable)?;
    let uboot = fields.list("uboot", variable)?;
    if bootenv.is_some() && uboot.is_some() {
        let path = fields.path_of("uboot");
        return Err(wrong(fields.line(), &path, "is another name of `bootenv`"));
    }
    Ok(Section {
        hardware: fields.list("hardware-compatibility", text)?,
        images: fields.list("images", entry::read)?,
        files: fields.list("files", entry::read)?,
        scripts: fields.list("scripts", entry::read)?,
        bootenv: bootenv.or(uboot),
        vars: fields.list("vars", variable)?,
    })
}

/// What is left: groups of boards, sets and modes.
fn alternatives(path: &str, fields: Fields) -> Result<BTreeMap<String, Alternative>> {
    let mut rest: Vec<(String, Node)> = fields.rest().collect();
    rest.sort_by_key(|(_, node)| node.line);
    let mut found = BTreeMap::new();
    for (name, node) in rest {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        if !matches!(node.value, Value::Group(_)) || matches!(&*name, "ref" | "partitions") {
            return Err(unknown(&name, &path, &node));
        }
        let mut fields = Fields::of(&path, node)?;
        let alternative = Alternative {
            section: section(&mut fields)?,
            alternatives: alternatives(&path, fields)?,
        };
        found.insert(name, alternative);
    }
    Ok(found)
}

fn variable(path: &str, node: Node) -> Result<Variable> {
    let mut fields = Fields::of(path, node)?;
    let name = fields.text("name")?;
    let value = fields.text("value")?;
    let line = fields.line();
    fields.finish()?;
    match name {
        Some(name) if !name.is_empty() => Ok(Variable {
            name,
            value: value.unwrap_or_default(),
        }),
        _ => Err(wrong(line, path, "has no `name`")),
    }
}

/// A member has one digest and one form, whoever installs it.
fn one_form_each(description: &Description) -> Result<()> {
    let mut seen: BTreeMap<&str, &Entry> = BTreeMap::new();
    for (_, section) in description.sections() {
        for entry in section.entries() {
            let Some(filename) = &entry.filename else {
                continue;
            };
            let first = *seen.entry(filename).or_insert(entry);
            let differs = |key: &str| {
                let reason = format!("differs from what line {} says", first.line);
                wrong(entry.line, &format!("{key} of {filename}"), reason)
            };
            if first.sha256 != entry.sha256 {
                return Err(differs("sha256"));
            }
            if first.compression != entry.compression {
                return Err(differs("compressed"));
            }
            if first.encryption != entry.encryption {
                return Err(differs("encrypted"));
            }
            if first.size != entry.size {
                return Err(differs("size"));
            }
        }
    }
    Ok(())
}
