use std::fs::{self, File};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use bedstone_sys::pidfd::BoundChild;
use serde::Serialize;
use serde_json::Value;

use super::accelerate::Accelerator;
use super::arguments::{OpenDrive, Wiring, arguments};
use super::config::{Firmware, Network, QemuConfig};
use super::directory::RunDirectory;
use super::discover::Tools;
use super::{drives, state, tpm};
use crate::console::Console;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::qmp::{self, Client};

/// How long QEMU may take for what involves no guest.
const LIMIT: Duration = Duration::from_secs(60);

/// A virtual machine.
///
/// It is off at first. However this value or this process ends, QEMU and its TPM end too, and temporary files go.
#[derive(Debug)]
pub struct Qemu {
    // Ends before the directory that its files are in goes.
    life: Option<Life>,
    tools: Tools,
    config: QemuConfig,
    code: Option<PathBuf>,
    variables: Option<OpenDrive>,
    disks: Vec<OpenDrive>,
    tpm: Option<PathBuf>,
    accelerator: Accelerator,
    interrupt: Option<Arc<AtomicBool>>,
    incoming: Option<PathBuf>,
    directory: RunDirectory,
}

/// What lives from power on to power off.
#[derive(Debug)]
struct Life {
    qmp: Client,
    console: Console,
    qemu: BoundChild,
    // After QEMU, which ends it by closing its connection.
    _tpm: Option<BoundChild>,
    ending: Option<Ending>,
}

/// Why a machine went off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "reason")]
pub enum Ending {
    /// The guest switched itself off.
    GuestShutdown,
    /// We switched it off.
    Host,
    /// QEMU ended by itself or was killed.
    Failure {
        /// How, and what it said.
        message: String,
    },
}

impl Qemu {
    /// Prepares a machine: overlays, variables and TPM state. Waiting ends early once `interrupt` is true.
    pub fn new(
        tools: &Tools,
        config: QemuConfig,
        accelerator: Accelerator,
        interrupt: Option<Arc<AtomicBool>>,
    ) -> Result<Self> {
        let directory = RunDirectory::create(tools.work())?;
        if let Some(log) = &config.console_log {
            File::create(log).map_err(Error::io("create", log))?;
        }
        let code = match &config.firmware {
            Firmware::Ovmf { secure_boot, .. } => Some(tools.ovmf_code(*secure_boot)?),
            Firmware::KernelOnly { .. } => None,
        };
        let variables = match &config.firmware {
            Firmware::Ovmf { variables, .. } => Some(drives::open(
                tools,
                variables,
                &directory,
                "variables.qcow2",
            )?),
            Firmware::KernelOnly { .. } => None,
        };
        let disks = config
            .disks
            .iter()
            .enumerate()
            .map(|(index, disk)| {
                drives::open(tools, disk, &directory, &format!("disk{index}.qcow2"))
            })
            .collect::<Result<_>>()?;
        let tpm = config
            .tpm
            .as_ref()
            .map(|tpm| tpm::state(tpm, directory.path()))
            .transpose()?;
        Ok(Self {
            life: None,
            tools: tools.clone(),
            config,
            code,
            variables,
            disks,
            tpm,
            accelerator,
            interrupt,
            incoming: None,
            directory,
        })
    }

    /// Makes the next power on continue from a state that [`Qemu::save_state`] saved, of a machine that is configured
    /// the same and whose drives hold what they held then.
    pub(crate) fn continue_from(&mut self, state: &Path) {
        self.incoming = Some(state.to_path_buf());
    }

    /// What the machine is made of.
    pub fn config(&self) -> &QemuConfig {
        &self.config
    }

    /// The monitor connection.
    pub fn qmp(&mut self) -> Result<&mut Client> {
        Ok(&mut self.life_mut()?.qmp)
    }

    /// The port of the host's loopback that leads to the guest's ssh port; `None` without network.
    pub fn ssh_port(&mut self) -> Result<Option<u16>> {
        if self.config.network == Network::Off {
            return Ok(None);
        }
        let text = self.qmp()?.human("info usernet", LIMIT)?;
        parse_forward(&text).map(Some).ok_or(Error::Strange {
            program: "info usernet".into(),
            answer: text,
        })
    }

    /// Presses the power button and waits until the guest has switched itself off.
    pub fn shut_down(&mut self, limit: Duration) -> Result<Ending> {
        self.qmp()?
            .execute("system_powerdown", Value::Null, LIMIT)?;
        self.wait_off(limit)
    }

    /// Waits until the machine is off.
    pub fn wait_off(&mut self, limit: Duration) -> Result<Ending> {
        match self.poll_off(limit)? {
            Some(ending) => Ok(ending),
            None => Err(Error::Timeout {
                what: "power off".into(),
                limit,
                tail: self.life()?.console.tail(),
            }),
        }
    }

    /// Whether the machine went off by itself, waiting for it at most `limit`.
    pub fn poll_off(&mut self, limit: Duration) -> Result<Option<Ending>> {
        let log = self.log();
        let program = self.tools.qemu.clone();
        let life = self.life_mut()?;
        if let Some(ending) = &life.ending {
            return Ok(Some(ending.clone()));
        }
        let Some(status) = life
            .qemu
            .wait_for(limit)
            .map_err(Error::io("wait for", &program))?
        else {
            return Ok(None);
        };
        // The reader gets to the end of the connection, behind the last event.
        let last = life
            .qmp
            .wait_event("shutdown", LIMIT, |event| event.name == "SHUTDOWN");
        let ending = match last.ok().as_ref().and_then(qmp::Event::reason) {
            Some("guest-shutdown") => Ending::GuestShutdown,
            Some("host-qmp-quit") => Ending::Host,
            reason => Ending::Failure {
                message: format!(
                    "{status}, {}: {}",
                    reason.unwrap_or("without a word"),
                    read_end(&log)
                ),
            },
        };
        life.ending = Some(ending.clone());
        Ok(Some(ending))
    }

    /// Stops the machine, writes all its state but the drives' to `file`, and switches it off.
    pub(crate) fn save_state(&mut self, file: &Path, limit: Duration) -> Result<()> {
        let target = File::create(file).map_err(Error::io("create", file))?;
        state::save(&mut self.life_mut()?.qmp, &target, limit)?;
        self.wait_off(LIMIT)?;
        self.power_off()
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("qemu.log")
    }

    fn off(&self) -> Error {
        Error::Off(self.config.name.clone())
    }

    fn life(&self) -> Result<&Life> {
        self.life.as_ref().ok_or_else(|| self.off())
    }

    fn life_mut(&mut self) -> Result<&mut Life> {
        match &mut self.life {
            Some(life) => Ok(life),
            None => Err(Error::Off(self.config.name.clone())),
        }
    }

    fn start(&mut self) -> Result<Life> {
        let program = self.tools.qemu.clone();
        let failed = |source| Error::Start {
            program: program.clone(),
            source,
        };
        let (qmp, qmp_theirs) = UnixStream::pair().map_err(failed)?;
        let (console, console_theirs) = UnixStream::pair().map_err(failed)?;
        let mut inherit = vec![OwnedFd::from(qmp_theirs), OwnedFd::from(console_theirs)];
        let mut wiring = Wiring {
            accelerator: self.accelerator,
            code: self.code.clone(),
            variables: self.variables.clone(),
            disks: self.disks.clone(),
            qmp: inherit[0].as_raw_fd(),
            console: inherit[1].as_raw_fd(),
            tpm: None,
            incoming: None,
        };
        let tpm = match &self.tpm {
            Some(state) => {
                let (child, control) = tpm::start(&self.tools, state, self.directory.path())?;
                wiring.tpm = Some(control.as_raw_fd());
                inherit.push(control);
                Some(child)
            }
            None => None,
        };
        let incoming = self.incoming.take();
        if let Some(state) = &incoming {
            let file = OwnedFd::from(File::open(state).map_err(Error::io("open", state))?);
            wiring.incoming = Some(file.as_raw_fd());
            inherit.push(file);
        }
        let log = self.log();
        let stderr = File::create(&log).map_err(Error::io("create", &log))?;
        let mut command = Command::new(&program);
        command
            .args(arguments(&self.config, &wiring))
            .env("TMPDIR", self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr);
        let origin = Instant::now();
        let mut qemu = BoundChild::spawn(command, inherit).map_err(failed)?;
        let console = Console::new(
            console,
            origin,
            self.config.console_log.as_deref(),
            self.interrupt.clone(),
        )?;
        let resets = console.resets();
        let connected = Client::connect(qmp, LIMIT, move |event| {
            if event.name == "RESET" {
                resets.mark();
            }
        });
        let mut qmp = match connected {
            Ok(qmp) => qmp,
            // An argument or a file that QEMU does not take: its own words say more than a closed connection.
            Err(error) => {
                return Err(match qemu.wait_for(Duration::from_secs(1)) {
                    Ok(Some(status)) => Error::Ended {
                        program,
                        status,
                        message: read_end(&log),
                    },
                    _ => error.into(),
                });
            }
        };
        if incoming.is_some() {
            state::resume(&mut qmp)?;
        }
        Ok(Life {
            qmp,
            console,
            qemu,
            _tpm: tpm,
            ending: None,
        })
    }
}

impl Device for Qemu {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn power_on(&mut self) -> Result<()> {
        if self.life.is_some() {
            return Err(Error::On(self.config.name.clone()));
        }
        self.life = Some(self.start()?);
        Ok(())
    }

    fn power_off(&mut self) -> Result<()> {
        self.life = None;
        Ok(())
    }

    fn reset(&mut self) -> Result<()> {
        self.qmp()?.execute("system_reset", Value::Null, LIMIT)?;
        Ok(())
    }

    fn console(&mut self) -> Result<&mut Console> {
        Ok(&mut self.life_mut()?.console)
    }
}

/// The host's port in QEMU's `  TCP[HOST_FORWARD]  12  127.0.0.1 42127  10.0.2.15  22  0  0`.
fn parse_forward(text: &str) -> Option<u16> {
    text.lines()
        .find_map(|line| line.trim_start().strip_prefix("TCP[HOST_FORWARD]"))?
        .split_whitespace()
        .nth(2)?
        .parse()
        .ok()
}

/// The last KiB of a log.
fn read_end(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let from = text.len().saturating_sub(1024);
    String::from_utf8_lossy(&text[from..]).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_forwarded_port() {
        let text = "Hub -1 (n0):\r\n  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n  TCP[HOST_FORWARD]   3       127.0.0.1 42127       10.0.2.15    22     0     0\r\n";
        assert_eq!(parse_forward(text), Some(42127));
        assert_eq!(parse_forward("Hub -1 (n0):\r\n"), None);
    }
}
