//! Short deb822 files (Release, `.sources`), read into memory with the line of every field.

use crate::error::{Error, Result};

/// A field: its name, its value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: String,
    /// First line and continuation lines joined by line breaks, each without the blanks around it; a lone `.` in a
    /// continuation line stands for an empty line.
    pub(crate) value: String,
    /// Line number, from 1.
    pub(crate) line: usize,
}

/// One stanza.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stanza {
    pub(crate) fields: Vec<Field>,
}

impl Stanza {
    /// The field `name`, whose case does not matter.
    pub(crate) fn field(&self, name: &str) -> Option<&Field> {
        self.fields
            .iter()
            .find(|field| field.name.eq_ignore_ascii_case(name))
    }

    /// The value of the field `name`.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.field(name).map(|field| field.value.as_str())
    }
}

/// Splits `text` into stanzas. Lines that begin with `#` are comments when `comments` is set, malformed otherwise.
/// `what` names the text in errors.
pub(crate) fn stanzas(what: &str, text: &str, comments: bool) -> Result<Vec<Stanza>> {
    let mut stanzas = Vec::new();
    let mut fields: Vec<Field> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let malformed = |reason: &str| Error::Syntax {
            what: what.to_owned(),
            line: number,
            reason: reason.to_owned(),
        };
        if comments && line.starts_with('#') {
            continue;
        }
        if line.trim().is_empty() {
            if !fields.is_empty() {
                stanzas.push(Stanza {
                    fields: std::mem::take(&mut fields),
                });
            }
        } else if line.starts_with([' ', '\t']) {
            let field = fields
                .last_mut()
                .ok_or_else(|| malformed("continuation of no field"))?;
            let line = line.trim();
            field.value.push('\n');
            field.value.push_str(if line == "." { "" } else { line });
        } else {
            let (name, value) = line
                .split_once(':')
                .ok_or_else(|| malformed("expected `Field: value`"))?;
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(malformed("malformed field name"));
            }
            if fields.iter().any(|it| it.name.eq_ignore_ascii_case(name)) {
                return Err(malformed("field appears twice in its stanza"));
            }
            fields.push(Field {
                name: name.to_owned(),
                value: value.trim().to_owned(),
                line: number,
            });
        }
    }
    if !fields.is_empty() {
        stanzas.push(Stanza { fields });
    }
    Ok(stanzas)
}
