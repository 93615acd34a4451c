//! Results and progress, for people and for programs.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::time::{Duration, Instant};

use bedstone_agent::status::Status;
use bedstone_agent::transaction::Transaction;
use bedstone_agent::trial::Confirmed;
use bedstone_agent::{Error, Progress};
use bedstone_disk::layout::Slot;
use serde_json::{Value, json};

/// What a command came to.
#[derive(Debug)]
pub(super) enum Reply {
    Installed { slot: Slot, version: String },
    UpToDate(String),
    Status(Box<Status>),
    Confirmed(Slot, Confirmed),
    RolledBack { from: Slot, to: Slot },
    FellBack(Transaction),
    NotDamaged(Slot),
    Repaired { slot: Slot, reason: String },
    Nothing,
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
            Self::Nothing => json!({"version": 1, "result": "nothing"}),
        }
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
        "download" => "try again: what was fetched is kept",
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

/// Shows progress: a line that is rewritten on a terminal, lines of JSON for programs, nothing else.
pub(super) struct Display {
    json: bool,
    terminal: bool,
    last: Option<Instant>,
    drawn: bool,
}

impl Display {
    pub(super) fn new(json: bool) -> Self {
        Self {
            json,
            terminal: std::io::stderr().is_terminal(),
            last: None,
            drawn: false,
        }
    }

    pub(super) fn show(&mut self, progress: &Progress) {
        match progress {
            Progress::Begun {
                version,
                signer,
                slot,
            } => self.say(
                &format!("Installing version {version} into slot {slot}, signed by {signer}"),
                &json!({"version": 1, "progress": "begun", "bundle_version": version, "signer": signer, "slot": slot.name()}),
            ),
            Progress::CheckingBase => self.say(
                "Reading the running root file system, to which the update is the difference",
                &json!({"version": 1, "progress": "checking-base"}),
            ),
            Progress::TakingWhole { code, reason } => self.say(
                &format!("Taking the whole root file system: {reason}"),
                &json!({"version": 1, "progress": "taking-whole", "code": code, "reason": reason}),
            ),
            Progress::Member { name, bytes } => self.bytes(name, *bytes, None),
            Progress::Verifying => self.say(
                "Reading back what was written",
                &json!({"version": 1, "progress": "verifying"}),
            ),
            Progress::Unlisted(name) => self.say(
                &format!("`{name}` is in the bundle, but nobody signed it: passed over"),
                &json!({"version": 1, "progress": "unlisted", "member": name}),
            ),
        }
    }

    /// At most five times a second.
    pub(super) fn bytes(&mut self, name: &str, bytes: u64, whole: Option<u64>) {
        let now = Instant::now();
        if self
            .last
            .is_some_and(|last| now - last < Duration::from_millis(200))
        {
            return;
        }
        self.last = Some(now);
        if self.json {
            println!(
                "{}",
                json!({"version": 1, "progress": "member", "member": name, "bytes": bytes, "of": whole})
            );
        } else if self.terminal {
            let whole = whole.map_or(String::new(), |whole| format!(" of {}", whole >> 20));
            eprint!("\r\x1b[K{name}: {}{whole} MiB", bytes >> 20);
            // Progress that is not seen is no failure.
            let _ = std::io::stderr().flush();
            self.drawn = true;
        }
    }

    fn say(&mut self, text: &str, value: &Value) {
        self.end();
        if self.json {
            println!("{value}");
        } else {
            eprintln!("{text}");
        }
    }

    /// Leaves the line that was rewritten.
    pub(super) fn end(&mut self) {
        if self.drawn {
            eprint!("\r\x1b[K");
            self.drawn = false;
        }
    }
}
