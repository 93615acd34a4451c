//! Short control files (Release, `.sources`), collected into memory with the line of every field.

use crate::deb822::Stanzas;
use crate::error::Result;

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

    /// The words of the field `name`; none where it is missing.
    pub(crate) fn words(&self, name: &str) -> Vec<String> {
        let value = self.value(name).unwrap_or_default();
        value.split_whitespace().map(str::to_owned).collect()
    }
}

/// Reads every stanza of `text`, which errors call `what`. No field may occur twice in a stanza.
pub(crate) fn read(what: &str, text: &str) -> Result<Vec<Stanza>> {
    Stanzas::new(what, text.as_bytes())
        .map(|stanza| {
            stanza.check()?;
            let fields = stanza.fields().map(|field| {
                let field = field?;
                Ok(Field {
                    name: String::from_utf8_lossy(field.name()).into_owned(),
                    value: joined(&String::from_utf8_lossy(field.raw())),
                    line: field.line(),
                })
            });
            Ok(Stanza {
                fields: fields.collect::<Result<_>>()?,
            })
        })
        .collect()
}

fn joined(raw: &str) -> String {
    let lines: Vec<_> = raw
        .lines()
        .enumerate()
        .map(|(index, line)| match line.trim() {
            "." if index > 0 => "",
            line => line,
        })
        .collect();
    lines.join("\n")
}
