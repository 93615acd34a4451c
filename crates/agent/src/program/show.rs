//! Results, for people and for programs.

use std::fmt::Write as _;

use bedstone_agent::Error;
use bedstone_agent::status::Status;
use bedstone_agent::transaction::Transaction;
use bedstone_agent::trial::Confirmed;
use bedstone_disk::layout::Slot;
use serde_json::{Value, json};

/// What a command came to.
#[derive(Debug)]
pub(super) enum Reply {
    Installed {
        slot: Slot,
        version: String,
    },
    UpToDate(String),
    Status(Box<Status>),
    Confirmed(Slot, Confirmed),
    RolledBack {
        from: Slot,
        to: Slot,
    },
    FellBack(Transaction),
    NotDamaged(Slot),
    Repaired {
        slot: Slot,
        reason: String,
    },
    Nothing,
    /// Everything was said already.
    Silent,
}

impl Reply {
    /// One line; the first field is always the version of the format, the second the result.
    pub(super) fn json(&self) -> Value {
        match self {
            Self::Installed { slot, version } => {
                json!({"version": 1, "result": "installed", "slot": slot.name(), "bundle_version": version})
            }
            Self::UpToDate(version) => {
                json!({"version": 1, "result": "up-to-date", "bundle_version": version})
            }
            Self::Status(status) => serde_json::to_value(status).unwrap_or_default(),
            Self::Confirmed(slot, how) => {
                let already = *how == Confirmed::Already;
                json!({"version": 1, "result": "confirmed", "slot": slot.name(), "already": already})
            }
            Self::RolledBack { from, to } => {
                json!({"version": 1, "result": "rolled-back", "from": from.name(), "to": to.name()})
            }
            Self::FellBack(transaction) => {
                json!({"version": 1, "result": "fell-back", "transaction": transaction})
            }
            Self::NotDamaged(slot) => {
                json!({"version": 1, "result": "not-damaged", "slot": slot.name()})
            }
            Self::Repaired { slot, reason } => {
                json!({"version": 1, "result": "repaired", "slot": slot.name(), "reason": reason})
            }
            Self::Nothing | Self::Silent => json!({"version": 1, "result": "nothing"}),
        }
    }

    /// Reads what [`Reply::json`] makes of the outcome of an operation that the daemon does.
    pub(super) fn parse(value: &Value) -> Option<Self> {
        let text = |key: &str| value[key].as_str().map(str::to_owned);
        let slot = |key: &str| Slot::parse(value[key].as_str()?);
        Some(match value["result"].as_str()? {
            "installed" => Self::Installed {
                slot: slot("slot")?,
                version: text("bundle_version")?,
            },
            "up-to-date" => Self::UpToDate(text("bundle_version")?),
            "confirmed" => {
                let already = value["already"].as_bool()?;
                let how = if already {
                    Confirmed::Already
                } else {
                    Confirmed::Now
                };
                Self::Confirmed(slot("slot")?, how)
            }
            "rolled-back" => Self::RolledBack {
                from: slot("from")?,
                to: slot("to")?,
            },
            "not-damaged" => Self::NotDamaged(slot("slot")?),
            "repaired" => Self::Repaired {
                slot: slot("slot")?,
                reason: text("reason")?,
            },
            _ => return None,
        })
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::Installed { slot, version } => {
                format!("Version {version} is in slot {slot}, which is started next.")
            }
            Self::UpToDate(version) => format!("Version {version} is running already."),
            Self::Status(status) => text_of(status),
            Self::Confirmed(slot, Confirmed::Now) => format!("Slot {slot} is confirmed."),
            Self::Confirmed(slot, Confirmed::Already) => {
                format!("Slot {slot} was confirmed before.")
            }
            Self::RolledBack { from, to } => {
                format!("Slot {from} is left; the machine restarts into slot {to}.")
            }
            Self::FellBack(transaction) => format!(
                "The update to version {} in slot {} failed, and the machine came back: {}",
                transaction.to,
                transaction.slot,
                transaction
                    .reason
                    .as_deref()
                    .unwrap_or("no reason is known")
            ),
            Self::NotDamaged(slot) => format!("Slot {slot} is good: nothing was written."),
            Self::Repaired { slot, reason } => {
                format!("Slot {slot} was damaged ({reason}) and is now as the running one.")
            }
            Self::Nothing => "No update is under way.".to_owned(),
            Self::Silent => String::new(),
        }
    }
}

fn text_of(status: &Status) -> String {
    let mut text = format!(
        "running   slot {}, version {}\n",
        status.running, status.image_version
    );
    if let Some(minimum) = &status.minimum {
        let _ = write!(text, "minimum   {}", minimum.version);
        if minimum.kept_in == "file" {
            text.push_str(", kept in a file: this firmware keeps no variables, so who writes to the disk can remove it");
        }
        text.push('\n');
    }
    for slot in &status.slots {
        let _ = write!(text, "slot {}    {}", slot.slot, slot.state);
        if let Some(version) = &slot.image_version {
            let _ = write!(text, ", version {version}");
        }
        if let Some(revision) = slot.revision {
            let _ = write!(text, ", revision {revision}");
        }
        if let Some(attempts) = slot.attempts {
            let _ = write!(text, ", {attempts} starts left");
        }
        if let Some(fault) = &slot.fault {
            let _ = write!(text, ": {fault}");
        }
        if slot.below_minimum {
            text.push_str("; below the minimum: started only when the other one cannot be");
        }
        text.push('\n');
    }
    match &status.transaction {
        None => text.push_str("update    none yet"),
        Some(last) => {
            let state = serde_json::to_value(last.state).unwrap_or_default();
            let _ = write!(
                text,
                "update    {} -> {} in slot {}: {}",
                last.from,
                last.to,
                last.slot,
                state.as_str().unwrap_or_default()
            );
            if let Some(reason) = &last.reason {
                let _ = write!(text, "\n          {reason}");
            }
        }
    }
    if let Some(failure) = &status.last_failure {
        let _ = write!(text, "\nfailure   {failure}");
    }
    if let Some(merge) = &status.etc_merge {
        let _ = write!(
            text,
            "\n/etc      {} changes of the device kept, {} of the image taken",
            merge.kept, merge.taken
        );
        for entry in &merge.entries {
            let (outcome, path) = (&entry.outcome, &entry.path);
            let _ = write!(text, "\n          {outcome}: {path}: {}", entry.note);
        }
    }
    for warning in &status.warnings {
        let _ = write!(text, "\nwarning   {warning}");
    }
    text
}

/// The result code of an error as JSON.
pub(super) fn error_json(error: &Error) -> Value {
    let result = if exit_code(error) == 3 {
        "refused"
    } else {
        "failed"
    };
    json!({"version": 1, "result": result, "code": error.code(), "reason": chain(error)})
}

pub(super) fn error_text(error: &Error) -> String {
    let mut text = format!("error: {error}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let _ = write!(text, "\n  because: {cause}");
        source = cause.source();
    }
    let hint = match error.code() {
        "on-trial" => "`bedstone-agent confirm` keeps the running slot, `rollback` leaves it",
        "downgrade" => {
            "`install --allow-downgrade` takes an older bundle, unless it is below the device's minimum"
        }
        "not-bootable" => {
            "`bedstone-agent status` tells the state of both slots, `repair` writes a damaged one again"
        }
        "encrypted" => "name the key with --key",
        "disk-full" => "free some space on /var",
        "wrong-base" => "take the bundle with the whole root file system",
        "download" => "run the command again once the server can be reached",
        "unknown-slot" => "start the machine through its boot loader",
        _ => return text,
    };
    let _ = write!(text, "\n  hint: {hint}");
    text
}

/// 3: the bundle is refused; 130: interrupted; 1: anything else.
pub(super) fn exit_code(error: &Error) -> u8 {
    match error.code() {
        "interrupted" => 130,
        "unreadable" | "failed" | "disk-full" | "busy" | "read-back" | "unknown-slot"
        | "not-bootable" | "on-trial" | "download" => 1,
        _ => 3,
    }
}

fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_everything() {
        for reply in [
            Reply::Installed {
                slot: Slot::B,
                version: "2".to_owned(),
            },
            Reply::UpToDate("2".to_owned()),
            Reply::Confirmed(Slot::A, Confirmed::Now),
            Reply::Confirmed(Slot::A, Confirmed::Already),
            Reply::RolledBack {
                from: Slot::B,
                to: Slot::A,
            },
            Reply::NotDamaged(Slot::B),
            Reply::Repaired {
                slot: Slot::B,
                reason: "rot".to_owned(),
            },
        ] {
            let parsed = Reply::parse(&reply.json()).map(|it| it.text());
            assert_eq!(parsed, Some(reply.text()));
        }
        assert!(Reply::parse(&json!({"result": "installed"})).is_none());
    }
}
