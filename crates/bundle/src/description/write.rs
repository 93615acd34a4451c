//! From a description to a tree, attributes in a fixed order.

use std::collections::BTreeMap;

use super::{
    Alternative, Compression, Description, Entry, Property, Section, Variable, entry::is_plain,
};
use crate::document::{Node, Value};
use crate::error::{Error, Result};

pub(super) fn description(description: &Description) -> Result<Node> {
    let mut software = Members::new("software");
    software.text("version", Some(&description.version))?;
    software.text("name", description.name.as_ref())?;
    software.text("description", description.description.as_ref())?;
    software.text("update-type", description.update_type.as_ref())?;
    software.flag("bootloader_state_marker", description.state_marker);
    software.flag(
        "bootloader_transaction_marker",
        description.transaction_marker,
    );
    software.flag("reboot", description.reboot);
    software.text("output", description.output.as_ref())?;
    software.text(
        "namespace-for-vars",
        description.namespace_for_vars.as_ref(),
    )?;
    software.text("embedded-script", description.embedded_script.as_ref())?;
    section(&mut software, &description.base)?;
    alternatives(&mut software, &description.alternatives)?;
    let mut root = Members::new("");
    root.put("software", software.into_value());
    Ok(Node::new(root.into_value()))
}

fn alternatives(members: &mut Members, found: &BTreeMap<String, Alternative>) -> Result<()> {
    for (name, alternative) in found {
        let ordinary = name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        if !ordinary || members.has(name) {
            return Err(unwritable(name, "no name for a board, set or mode"));
        }
        let mut group = Members::new(name);
        section(&mut group, &alternative.section)?;
        alternatives(&mut group, &alternative.alternatives)?;
        members.put(name, group.into_value());
    }
    Ok(())
}

fn section(members: &mut Members, section: &Section) -> Result<()> {
    if let Some(hardware) = &section.hardware {
        let list = texts("hardware-compatibility", hardware)?;
        members.put("hardware-compatibility", list);
    }
    for (name, entries) in [
        ("images", &section.images),
        ("files", &section.files),
        ("scripts", &section.scripts),
    ] {
        if let Some(entries) = entries {
            let list = entries.iter().map(entry).collect::<Result<_>>()?;
            members.put(name, Value::List(list));
        }
    }
    for (name, variables) in [("bootenv", &section.bootenv), ("vars", &section.vars)] {
        if let Some(variables) = variables {
            let list = variables.iter().map(variable).collect::<Result<_>>()?;
            members.put(name, Value::List(list));
        }
    }
    Ok(())
}

fn entry(entry: &Entry) -> Result<Node> {
    let what = entry.filename.as_deref().unwrap_or("entry");
    if entry.filename.is_some() != entry.sha256.is_some() {
        return Err(unwritable(what, "file name and digest belong together"));
    }
    if entry.filename.as_ref().is_some_and(|name| !is_plain(name)) {
        return Err(unwritable(what, "no plain file name"));
    }
    let mut members = Members::new(what);
    members.text("name", entry.name.as_ref())?;
    members.text("version", entry.version.as_ref())?;
    members.text("filename", entry.filename.as_ref())?;
    members.text("type", entry.handler.as_ref())?;
    members.text("device", entry.device.as_ref())?;
    members.text("filesystem", entry.filesystem.as_ref())?;
    members.text("path", entry.path.as_ref())?;
    members.text("volume", entry.volume.as_ref())?;
    members.text("mtdname", entry.mtdname.as_ref())?;
    members.text("data", entry.data.as_ref())?;
    members.number("size", entry.size)?;
    members.number("offset", Some(entry.offset).filter(|offset| *offset > 0))?;
    match entry.compression {
        Compression::None => {}
        Compression::Zlib => members.put("compressed", Value::Text("zlib".to_owned())),
        Compression::Zstd => members.put("compressed", Value::Text("zstd".to_owned())),
    }
    if let Some(encryption) = &entry.encryption {
        members.put("encrypted", Value::Flag(true));
        if let Some(iv) = &encryption.iv {
            members.put("ivt", Value::Text(crate::crypt::to_hex(iv)));
        }
    }
    for (name, set) in [
        ("installed-directly", entry.installed_directly),
        ("preserve-attributes", entry.preserve_attributes),
        ("install-if-different", entry.install_if_different),
        ("install-if-higher", entry.install_if_higher),
    ] {
        members.flag(name, set.then_some(true));
    }
    members.text("preinstall", entry.preinstall.as_ref())?;
    members.text("postinstall", entry.postinstall.as_ref())?;
    members.text("hook", entry.hook.as_ref())?;
    let digest = entry.sha256.map(|digest| digest.to_string());
    members.text("sha256", digest.as_ref())?;
    if !entry.properties.is_empty() {
        let mut properties = Members::new(what);
        for (name, property) in &entry.properties {
            match property {
                Property::One(value) => properties.text(name, Some(value))?,
                Property::Many(values) => properties.put(name, texts(name, values)?),
            }
        }
        members.put("properties", properties.into_value());
    }
    Ok(Node::new(members.into_value()))
}

fn variable(variable: &Variable) -> Result<Node> {
    let mut members = Members::new("variable");
    members.text("name", Some(&variable.name))?;
    members.text("value", Some(&variable.value))?;
    Ok(Node::new(members.into_value()))
}

fn texts(what: &str, values: &[String]) -> Result<Value> {
    let list = values
        .iter()
        .map(|value| checked(what, value).map(Node::new));
    Ok(Value::List(list.collect::<Result<_>>()?))
}

/// Text that both syntaxes and every SWUpdate read alike.
fn checked(what: &str, text: &str) -> Result<Value> {
    if text
        .chars()
        .any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
    {
        return Err(unwritable(what, "has a control character"));
    }
    Ok(Value::Text(text.to_owned()))
}

fn unwritable(what: &str, reason: &str) -> Error {
    Error::Unwritable {
        what: what.to_owned(),
        reason: reason.to_owned(),
    }
}

/// A group being written.
struct Members {
    what: String,
    members: Vec<(String, Node)>,
}

impl Members {
    fn new(what: &str) -> Self {
        Self {
            what: what.to_owned(),
            members: Vec::new(),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.members.iter().any(|(other, _)| other == name)
    }

    fn put(&mut self, name: &str, value: Value) {
        self.members.push((name.to_owned(), Node::new(value)));
    }

    fn text(&mut self, name: &str, text: Option<&String>) -> Result<()> {
        if let Some(text) = text {
            let value = checked(&format!("{} {name}", self.what), text)?;
            self.put(name, value);
        }
        Ok(())
    }

    fn flag(&mut self, name: &str, flag: Option<bool>) {
        if let Some(flag) = flag {
            self.put(name, Value::Flag(flag));
        }
    }

    fn number(&mut self, name: &str, number: Option<u64>) -> Result<()> {
        if let Some(number) = number {
            let number =
                i64::try_from(number).map_err(|_| unwritable(name, "larger than 2^63 - 1"))?;
            self.put(name, Value::Number(number));
        }
        Ok(())
    }

    fn into_value(self) -> Value {
        Value::Group(self.members)
    }
}
