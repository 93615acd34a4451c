use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::console::Console;
use crate::efi::Variables;
use crate::environment::{BootPartitions, Left};
use crate::slot::{Running, Slot};
use crate::status::Json;

/// How long a message stays readable before the machine goes on to the other slot.
const READING_TIME: Duration = Duration::from_secs(3);
/// How long it waits when nothing better than another try can be done.
const RETRY_TIME: Duration = Duration::from_secs(30);
/// How long writing back may take: a dead disk must not keep the machine from restarting.
const SYNC_TIME: Duration = Duration::from_secs(5);

/// What is needed to give a slot up; filled as the start finds it out.
#[derive(Debug, Default)]
pub(crate) struct Means {
    pub(crate) running: Option<Running>,
    pub(crate) root_hash: Option<String>,
    pub(crate) boot: Option<BootPartitions>,
    pub(crate) variables: Option<Variables>,
}

/// What was done about a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The boot loader will start this slot at the next start.
    NextStarts(Slot),
    /// Nothing could be changed; the reason.
    Unchanged(String),
}

impl Means {
    /// Says why the slot cannot go on, keeps the reason, and makes the boot loader start the other slot where it can.
    pub(crate) fn leave(&mut self, console: &Console, reason: &str) -> Outcome {
        let name = match self.running {
            Some(running) => format!("slot {}", running.slot),
            None => "this start".to_owned(),
        };
        console.error(format!("{name} fails: {reason}"));
        if let Some(variables) = &self.variables
            && let Err(error) = variables.record_failure(&self.record(reason))
        {
            console.error(format!(
                "cannot keep the reason in an EFI variable: {error}"
            ));
        }
        let outcome = self.next_start();
        match &outcome {
            Outcome::NextStarts(slot) => {
                console.error(format!(
                    "{name} is marked as failed; slot {slot} starts next"
                ));
            }
            Outcome::Unchanged(reason) => {
                console.error(format!("no other slot to go to: {reason}"));
            }
        }
        outcome
    }

    fn next_start(&mut self) -> Outcome {
        let Some(running) = self.running else {
            return Outcome::Unchanged("the running slot is not known".to_owned());
        };
        if !running.source.is_firmware() {
            let text = "the machine was not started through the boot loader";
            return Outcome::Unchanged(text.to_owned());
        }
        let other = running.slot.other();
        match self.boot.as_mut().map(BootPartitions::leave) {
            None => Outcome::Unchanged("the boot partitions cannot be reached".to_owned()),
            Some(Ok(Left::ForOther)) => Outcome::NextStarts(other),
            Some(Ok(Left::Stay(reason))) => Outcome::Unchanged(format!("slot {other}: {reason}")),
            Some(Err(reason)) => Outcome::Unchanged(reason),
        }
    }

    /// The failure in a form that machines read.
    pub(crate) fn record(&self, reason: &str) -> String {
        let slot = self.running.map(|running| running.slot.to_string());
        let text =
            |value: Option<&str>| value.map_or(Json::Null, |text| Json::Owned(text.to_owned()));
        let record = Json::Object(vec![
            ("slot", text(slot.as_deref())),
            ("root", text(self.root_hash.as_deref())),
            ("reason", Json::Text(reason)),
        ]);
        record.to_string()
    }

    /// Ends a start that failed: never returns, never opens a shell.
    pub(crate) fn give_up(mut self, console: &Console, reason: &str) -> ! {
        let wait = match self.leave(console, reason) {
            Outcome::NextStarts(_) => READING_TIME,
            Outcome::Unchanged(_) => {
                console.error(
                    "write a good image to this disk from outside, or repair what is named above",
                );
                RETRY_TIME
            }
        };
        restart_after(console, wait)
    }
}

/// Restarts into the slot that starts next.
pub(crate) fn restart_soon(console: &Console) -> ! {
    restart_after(console, READING_TIME)
}

fn restart_after(console: &Console, wait: Duration) -> ! {
    console.error(format!("restarting in {} s", wait.as_secs()));
    thread::sleep(wait);
    restart(console)
}

/// Writes back what it can in a few seconds and restarts.
pub(crate) fn restart(console: &Console) -> ! {
    let (done, wait) = mpsc::channel();
    thread::spawn(move || {
        rustix::fs::sync();
        // The receiver may have given up waiting.
        let _ = done.send(());
    });
    let _ = wait.recv_timeout(SYNC_TIME);
    loop {
        let error = bedstone_sys::machine::restart()
            .err()
            .unwrap_or_else(|| io::ErrorKind::Other.into());
        console.error(format!("cannot restart: {error}"));
        thread::sleep(RETRY_TIME);
    }
}
