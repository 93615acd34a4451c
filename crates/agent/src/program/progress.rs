//! Progress, for people and for programs.

use std::io::{IsTerminal, Write as _};
use std::time::{Duration, Instant};

use bedstone_agent::Progress;
use bedstone_disk::layout::Slot;
use serde_json::{Value, json};

/// Between two lines that only say how many bytes there are.
const INTERVAL: Duration = Duration::from_millis(200);
/// What a repair is called where an installation names a member.
const REPAIRING: &str = "repairing";

/// Something that happened while a slot was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    Installing(Progress),
    /// So many bytes of all that are copied.
    Repairing {
        bytes: u64,
        of: u64,
    },
}

impl Event {
    /// One line; the first field is always the version of the format, the second the kind of progress.
    pub(super) fn json(&self) -> Value {
        match self {
            Self::Installing(Progress::Begun {
                version,
                signer,
                slot,
            }) => {
                json!({"version": 1, "progress": "begun", "bundle_version": version, "signer": signer, "slot": slot.name()})
            }
            Self::Installing(Progress::Member { name, bytes }) => member(name, *bytes, None),
            Self::Installing(Progress::CheckingBase) => {
                json!({"version": 1, "progress": "checking-base"})
            }
            Self::Installing(Progress::TakingWhole { code, reason }) => {
                json!({"version": 1, "progress": "taking-whole", "code": code, "reason": reason})
            }
            Self::Installing(Progress::Verifying) => json!({"version": 1, "progress": "verifying"}),
            Self::Installing(Progress::Unlisted(name)) => {
                json!({"version": 1, "progress": "unlisted", "member": name})
            }
            Self::Repairing { bytes, of } => member(REPAIRING, *bytes, Some(*of)),
        }
    }

    /// Reads what [`Event::json`] makes; none of a kind that this program does not know.
    pub(super) fn parse(value: &Value) -> Option<Self> {
        let text = |key: &str| value[key].as_str().map(str::to_owned);
        Some(match value["progress"].as_str()? {
            "begun" => Self::Installing(Progress::Begun {
                version: text("bundle_version")?,
                signer: text("signer")?,
                slot: Slot::parse(value["slot"].as_str()?)?,
            }),
            "member" => match value["of"].as_u64() {
                Some(of) => Self::Repairing {
                    bytes: value["bytes"].as_u64()?,
                    of,
                },
                None => Self::Installing(Progress::Member {
                    name: text("member")?,
                    bytes: value["bytes"].as_u64()?,
                }),
            },
            "checking-base" => Self::Installing(Progress::CheckingBase),
            "taking-whole" => Self::Installing(Progress::TakingWhole {
                code: text("code")?,
                reason: text("reason")?,
            }),
            "verifying" => Self::Installing(Progress::Verifying),
            "unlisted" => Self::Installing(Progress::Unlisted(text("member")?)),
            _ => return None,
        })
    }

    /// Whether it only says how many bytes there are.
    fn counts(&self) -> bool {
        matches!(
            self,
            Self::Repairing { .. } | Self::Installing(Progress::Member { .. })
        )
    }
}

fn member(name: &str, bytes: u64, of: Option<u64>) -> Value {
    json!({"version": 1, "progress": "member", "member": name, "bytes": bytes, "of": of})
}

/// Lets counts through at most five times a second, and everything else.
#[derive(Debug, Default)]
pub(super) struct Pace {
    last: Option<Instant>,
}

impl Pace {
    pub(super) fn lets_through(&mut self, event: &Event) -> bool {
        if !event.counts() {
            return true;
        }
        let now = Instant::now();
        if self.last.is_some_and(|last| now - last < INTERVAL) {
            return false;
        }
        self.last = Some(now);
        true
    }
}

/// Shows progress: a line that is rewritten on a terminal, lines of JSON for programs, nothing else.
pub(super) struct Display {
    json: bool,
    terminal: bool,
    pace: Pace,
    drawn: bool,
}

impl Display {
    pub(super) fn new(json: bool) -> Self {
        Self {
            json,
            terminal: std::io::stderr().is_terminal(),
            pace: Pace::default(),
            drawn: false,
        }
    }

    pub(super) fn show(&mut self, event: &Event) {
        if !self.pace.lets_through(event) {
            return;
        }
        if self.json {
            println!("{}", event.json());
            return;
        }
        match event {
            Event::Installing(Progress::Member { name, bytes }) => self.draw(name, *bytes, None),
            Event::Repairing { bytes, of } => self.draw(REPAIRING, *bytes, Some(*of)),
            Event::Installing(Progress::Begun {
                version,
                signer,
                slot,
            }) => self.say(&format!(
                "Installing version {version} into slot {slot}, signed by {signer}"
            )),
            Event::Installing(Progress::CheckingBase) => self
                .say("Reading the running root file system, to which the update is the difference"),
            Event::Installing(Progress::TakingWhole { reason, .. }) => {
                self.say(&format!("Taking the whole root file system: {reason}"));
            }
            Event::Installing(Progress::Verifying) => self.say("Reading back what was written"),
            Event::Installing(Progress::Unlisted(name)) => self.say(&format!(
                "`{name}` is in the bundle, but nobody signed it: passed over"
            )),
        }
    }

    fn draw(&mut self, name: &str, bytes: u64, whole: Option<u64>) {
        if !self.terminal {
            return;
        }
        let whole = whole.map_or(String::new(), |whole| format!(" of {}", whole >> 20));
        eprint!("\r\x1b[K{name}: {}{whole} MiB", bytes >> 20);
        // Progress that is not seen is no failure.
        let _ = std::io::stderr().flush();
        self.drawn = true;
    }

    pub(super) fn say(&mut self, text: &str) {
        self.end();
        eprintln!("{text}");
    }

    /// Leaves the line that was rewritten.
    pub(super) fn end(&mut self) {
        if self.drawn {
            eprint!("\r\x1b[K");
            self.drawn = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_everything() {
        let events = [
            Event::Installing(Progress::Begun {
                version: "2".to_owned(),
                signer: "CN=x".to_owned(),
                slot: Slot::B,
            }),
            Event::Installing(Progress::Member {
                name: "root.img".to_owned(),
                bytes: 7,
            }),
            Event::Installing(Progress::CheckingBase),
            Event::Installing(Progress::TakingWhole {
                code: "wrong-base".to_owned(),
                reason: "x".to_owned(),
            }),
            Event::Installing(Progress::Verifying),
            Event::Installing(Progress::Unlisted("x".to_owned())),
            Event::Repairing { bytes: 1, of: 2 },
        ];
        for event in events {
            assert_eq!(Event::parse(&event.json()), Some(event));
        }
        assert_eq!(Event::parse(&json!({"progress": "thinking"})), None);
        assert_eq!(Event::parse(&json!({"progress": "member"})), None);
    }

    #[test]
    fn counts_are_told_now_and_then() {
        let mut pace = Pace::default();
        let count = Event::Repairing { bytes: 1, of: 2 };
        assert!(pace.lets_through(&count));
        assert!(!pace.lets_through(&count));
        assert!(pace.lets_through(&Event::Installing(Progress::Verifying)));
        std::thread::sleep(INTERVAL);
        assert!(pace.lets_through(&count));
    }
}
