//! `/run/bedstone/boot.json`: what the start found out, for the agent, the fleet and whoever logs in.

use std::fmt::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use bedstone_state::minimum::Minimum;

use crate::data::{self, Data};
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::parameters::Parameters;
use crate::slot::Running;

const FILE: &str = "/run/bedstone/boot.json";

/// What is told of a start.
#[derive(Debug)]
pub(crate) struct Status<'a> {
    pub(crate) running: Running,
    pub(crate) parameters: &'a Parameters,
    pub(crate) disk: &'a Disk,
    pub(crate) root_device: &'a Path,
    pub(crate) data: &'a Data,
    /// What did not go as it should, each a sentence.
    pub(crate) warnings: &'a [String],
    /// Why the last start or run of a slot was given up, as recorded then.
    pub(crate) last_failure: Option<&'a str>,
    /// The lowest version that this device may run.
    pub(crate) minimum: Option<&'a Minimum>,
    /// Steps and when each was done, counted from the start of this program.
    pub(crate) times: &'a [(&'static str, Duration)],
}

impl Status<'_> {
    /// Writes the file.
    pub(crate) fn write(&self) -> Result<()> {
        bedstone_store::atomic::write(FILE, format!("{}\n", self.json()).as_bytes()).map_err(
            |error| Error::Unusable {
                path: FILE.into(),
                reason: format!("cannot be written: {error}"),
            },
        )
    }

    fn json(&self) -> Json<'_> {
        let text = |value: &dyn fmt::Display| Json::Owned(value.to_string());
        let root = &self.parameters.root;
        let times = self
            .times
            .iter()
            .map(|(step, time)| (*step, Json::Number(time.as_millis() as u64)));
        Json::Object(vec![
            ("version", Json::Number(1)),
            ("slot", text(&self.running.slot)),
            ("slot_source", text(&self.running.source)),
            (
                "root",
                Json::Object(vec![
                    ("hash", text(&root.hash)),
                    ("uuid", text(&root.uuid)),
                    ("file_system", Json::Text(&root.file_system)),
                    ("device", text(&self.root_device.display())),
                ]),
            ),
            ("data", data_json(self.data)),
            ("disk", text(&self.disk.table.disk)),
            ("partitions", self.partitions()),
            (
                "warnings",
                Json::List(self.warnings.iter().map(|text| Json::Text(text)).collect()),
            ),
            (
                "last_failure",
                self.last_failure.map_or(Json::Null, Json::Text),
            ),
            ("minimum", self.minimum.map_or(Json::Null, minimum_json)),
            ("milliseconds", Json::Object(times.collect())),
        ])
    }
}

impl Status<'_> {
    /// The disk's partitions, as the kernel knows them.
    fn partitions(&self) -> Json<'_> {
        let partitions = self.disk.table.partitions.iter().filter_map(|partition| {
            let device = &self.disk.partition(&partition.name).ok()?.path;
            Some(Json::Object(vec![
                ("name", Json::Text(&partition.name)),
                ("guid", Json::Owned(partition.guid.to_string())),
                ("device", Json::Owned(device.display().to_string())),
            ]))
        });
        Json::List(partitions.collect())
    }
}

fn data_json(data: &Data) -> Json<'_> {
    let (state, reason) = match &data.state {
        data::State::Mounted => ("mounted", None),
        data::State::Created => ("created", None),
        data::State::Repaired => ("repaired", None),
        data::State::Volatile(reason) => ("volatile", Some(reason.as_str())),
    };
    Json::Object(vec![
        ("state", Json::Text(state)),
        ("persistent", Json::Flag(data.is_persistent())),
        ("encrypted", Json::Flag(data.encrypted)),
        ("reason", reason.map_or(Json::Null, Json::Text)),
    ])
}

fn minimum_json(minimum: &Minimum) -> Json<'_> {
    Json::Object(vec![
        ("version", Json::Text(&minimum.version)),
        ("kept_in", Json::Text(minimum.kept.name())),
    ])
}

/// A JSON value (RFC 8259) to be shown.
#[derive(Debug)]
pub(crate) enum Json<'a> {
    Null,
    Flag(bool),
    Number(u64),
    Text(&'a str),
    Owned(String),
    List(Vec<Json<'a>>),
    Object(Vec<(&'static str, Json<'a>)>),
}

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => quote(f, text),
            Self::Owned(text) => quote(f, text),
            Self::List(values) => {
                f.write_char('[')?;
                for (index, value) in values.iter().enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    write!(f, "{comma}{value}")?;
                }
                f.write_char(']')
            }
            Self::Object(fields) => {
                f.write_char('{')?;
                for (index, (name, value)) in fields.iter().enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    write!(f, "{comma}\"{name}\":{value}")?;
                }
                f.write_char('}')
            }
        }
    }
}

fn quote(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for character in text.chars() {
        match character {
            '"' | '\\' => write!(f, "\\{character}")?,
            control if control.is_control() && (control as u32) < 0x20 => {
                write!(f, "\\u{:04x}", control as u32)?;
            }
            other => f.write_char(other)?,
        }
    }
    f.write_char('"')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shows_every_kind() {
        let value = Json::Object(vec![
            (
                "a",
                Json::List(vec![Json::Null, Json::Flag(true), Json::Number(7)]),
            ),
            ("b", Json::Text("x\"\\\n")),
            ("c", Json::Object(Vec::new())),
        ]);
        assert_eq!(
            value.to_string(),
            r#"{"a":[null,true,7],"b":"x\"\\\u000a","c":{}}"#
        );
    }

    proptest! {
        #[test]
        fn texts_survive(text: String) {
            let shown = Json::Text(&text).to_string();
            let read: String = serde_json::from_str(&shown).unwrap();
            prop_assert_eq!(read, text);
        }
    }
}
