//! Boots an image and reports how it went: what `bedstone run` does.

use std::fmt;
use std::io::Write;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bedstone_event::Reporter;
use serde::Serialize;

use crate::console::{Boot, Detached, Milestone, Pattern};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::qemu::{Accelerator, Ending, Qemu, QemuConfig, Tools};

/// How long one look at the console lasts, in which nothing else is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// What to run and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunConfig {
    /// The machine.
    pub machine: QemuConfig,
    /// When the run is over; with a terminal it is over when the person leaves.
    pub until: Until,
    /// How long the login prompt may take from power on; with [`Until::PowerOff`] nothing limits what comes after it.
    pub limit: Duration,
    /// Whether each line of the console is reported as a note.
    pub echo: bool,
}

/// When a run is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// At the first login prompt.
    Login,
    /// When the guest switches itself off or the run is interrupted.
    PowerOff,
}

/// Where a person sits.
pub struct Terminal<'a> {
    /// Their keys.
    pub input: BorrowedFd<'a>,
    /// Their screen.
    pub output: &'a mut (dyn Write + Send),
}

impl fmt::Debug for Terminal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Terminal({:?})", self.input)
    }
}

/// How a run went.
///
/// As JSON, one object; fields may be added within a version, never renamed or removed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunReport {
    /// Version of this form: 1.
    pub version: u32,
    /// How the instructions ran.
    pub accelerator: Accelerator,
    /// QEMU's version.
    pub qemu: String,
    /// Each boot with its milestones; more than one when the machine was reset.
    pub boots: Vec<Boot>,
    /// The slot that the image's init named last: `a` or `b`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slot: Option<String>,
    /// The verity root hash that the image's init named last, as it named it (it may be shortened).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_hash: Option<String>,
    /// What the image's init said, line by line.
    pub init: Vec<String>,
    /// The port of the host's loopback that led to the guest's ssh port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh_port: Option<u16>,
    /// Why the run ended.
    pub end: End,
    /// How long the run took, in seconds.
    pub seconds: f64,
}

/// Why a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "reason")]
pub enum End {
    /// The login prompt came, and nothing more was wanted.
    Login,
    /// The guest switched itself off.
    GuestShutdown,
    /// The person switched it off.
    Quit,
    /// Whoever started the run asked for its end.
    Interrupted,
    /// The login prompt did not come in time.
    Timeout {
        /// The console's last lines.
        tail: String,
    },
    /// QEMU ended by itself.
    Failure {
        /// How, and what it said.
        message: String,
    },
}

impl RunReport {
    /// Whether what was wanted came about.
    pub fn is_success(&self) -> bool {
        matches!(self.end, End::Login | End::GuestShutdown | End::Quit)
    }

    /// Seconds from power on or the last reset to the login prompt.
    pub fn seconds_to_login(&self) -> Option<f64> {
        self.boots.iter().rev().find_map(|boot| boot.login)
    }
}

/// Runs a machine until `config` says, or with a `terminal` until the person at it leaves; true in `interrupt` ends it at
/// any time. What works for acceleration is remembered in `cache`.
///
/// # Errors
/// The machine cannot be started at all. What goes wrong later is in [`RunReport::end`].
pub fn run(
    tools: &Tools,
    config: &RunConfig,
    cache: &Path,
    reporter: &Reporter,
    interrupt: &Arc<AtomicBool>,
    terminal: Option<Terminal<'_>>,
) -> Result<RunReport> {
    let begun = Instant::now();
    let accelerator = Accelerator::choose(tools, config.machine.acceleration, cache)?;
    let span = reporter.start("boot", format!("Booting {}", config.machine.name));
    let mut machine = Qemu::new(
        tools,
        config.machine.clone(),
        accelerator,
        Some(Arc::clone(interrupt)),
    )?;
    machine.power_on()?;
    let ssh_port = machine.ssh_port()?;
    if let Some(port) = ssh_port {
        span.reporter()
            .note(format!("port {port} of localhost leads to the guest's ssh"));
    }
    let mut follower = Follower {
        machine: &mut machine,
        reporter: span.reporter(),
        echo: config.echo,
        told: 0,
        seen: Seen::default(),
    };
    let end = match terminal {
        Some(Terminal { input, output }) => follower.attend(input, output)?,
        None => follower.follow(config, interrupt)?,
    };
    let seen = follower.seen;
    let boots = machine.console()?.boots();
    machine.power_off()?;
    let report = RunReport {
        version: 1,
        accelerator,
        qemu: tools.qemu_version.clone(),
        boots,
        slot: seen.slot,
        root_hash: seen.root_hash,
        init: seen.init,
        ssh_port,
        end,
        seconds: (begun.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
    };
    if report.is_success() {
        span.finish(match report.seconds_to_login() {
            Some(seconds) => format!("Booted to the login prompt in {seconds:.1} s"),
            None => "Ran".to_owned(),
        });
    }
    Ok(report)
}

/// What the console told about the image.
#[derive(Debug, Default)]
struct Seen {
    slot: Option<String>,
    root_hash: Option<String>,
    init: Vec<String>,
}

/// How the image's init begins its lines; after it `slot a, root 0123… verified (erofs), …` once the root is mounted.
const INIT: &str = "bedstone-init: ";
/// More lines of the init than any boot has; a machine in a reset loop must not fill memory.
const LINES: usize = 1000;

impl Seen {
    fn line(&mut self, line: &str) {
        let Some((_, said)) = line.split_once(INIT) else {
            return;
        };
        if self.init.len() < LINES {
            self.init.push(said.to_owned());
        }
        let pattern = Pattern::glob("slot *, root * verified");
        if let Some(found) = pattern.find(said.as_bytes())
            && let [slot, root_hash] = found.captures.as_slice()
        {
            self.slot = Some(slot.clone());
            self.root_hash = Some(root_hash.clone());
        }
    }
}

struct Follower<'a> {
    machine: &'a mut Qemu,
    reporter: &'a Reporter,
    echo: bool,
    /// How many milestones of all boots were told.
    told: usize,
    seen: Seen,
}

impl Follower<'_> {
    /// Hands the console to a person.
    fn attend(&mut self, input: BorrowedFd<'_>, output: &mut (dyn Write + Send)) -> Result<End> {
        let detached = self.machine.console()?.attach(input, output)?;
        self.echo = false;
        self.drain()?;
        match detached {
            Detached::Quit | Detached::Leave => Ok(End::Quit),
            Detached::Interrupted => Ok(End::Interrupted),
            Detached::Closed => self.off(),
        }
    }

    /// Reads along until the run is over.
    fn follow(&mut self, config: &RunConfig, interrupt: &AtomicBool) -> Result<End> {
        let begun = Instant::now();
        loop {
            let line = self.machine.console()?.next_line(LOOK);
            self.tell()?;
            let login = self
                .machine
                .console()?
                .boots()
                .last()
                .is_some_and(|boot| boot.login.is_some());
            match line {
                Ok(line) => self.line(&line),
                Err(Error::Timeout { .. }) => {}
                Err(Error::Interrupted(_)) => return Ok(End::Interrupted),
                Err(Error::Closed { .. }) => return self.off(),
                Err(error) => return Err(error),
            }
            if interrupt.load(Ordering::Relaxed) {
                return Ok(End::Interrupted);
            }
            if login && config.until == Until::Login {
                self.drain()?;
                return Ok(End::Login);
            }
            if !login && begun.elapsed() > config.limit {
                let tail = self.machine.console()?.tail();
                return Ok(End::Timeout { tail });
            }
        }
    }

    fn line(&mut self, line: &str) {
        if self.echo {
            self.reporter.note(line);
        }
        self.seen.line(line);
    }

    /// Takes the lines that are there already.
    fn drain(&mut self) -> Result<()> {
        while let Ok(line) = self.machine.console()?.next_line(Duration::ZERO) {
            self.line(&line);
        }
        Ok(())
    }

    fn off(&mut self) -> Result<End> {
        Ok(match self.machine.wait_off(Duration::from_secs(10))? {
            Ending::GuestShutdown => End::GuestShutdown,
            Ending::Host => End::Quit,
            Ending::Failure { message } => End::Failure { message },
        })
    }

    /// Tells the milestones that are new.
    fn tell(&mut self) -> Result<()> {
        let boots = self.machine.console()?.boots();
        let reached: Vec<String> = boots
            .iter()
            .enumerate()
            .flat_map(|(index, boot)| {
                Milestone::ALL.into_iter().filter_map(move |milestone| {
                    let seconds = boot.at(milestone)?;
                    let which = if index == 0 {
                        String::new()
                    } else {
                        format!("boot {}: ", index + 1)
                    };
                    Some(format!("{which}{} after {seconds:.1} s", milestone.name()))
                })
            })
            .collect();
        for text in reached.iter().skip(self.told) {
            self.reporter.note(text);
        }
        self.told = self.told.max(reached.len());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_init_says() {
        let mut seen = Seen::default();
        for line in [
            "[    1.0] Run /init as init process",
            "[    1.2] bedstone-init: making the data file system on /dev/vda6",
            "[    2.3] bedstone-init: slot b, root 0123abcd verified (erofs), data /dev/vda6, 0.81 s",
        ] {
            seen.line(line);
        }
        assert_eq!(seen.slot.as_deref(), Some("b"));
        assert_eq!(seen.root_hash.as_deref(), Some("0123abcd"));
        assert_eq!(seen.init.len(), 2);
    }
}
