//! The commands.

mod arguments;
mod boot;
mod machine;
mod progress;
mod serve;
mod show;
mod watch;

use std::ffi::OsString;
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bedstone_agent::config::{Config, image_version};
use bedstone_agent::device::{BOOT_FILE, BlockFile, Boot, Device};
use bedstone_agent::plan::Policy;
use bedstone_agent::protocol::{Install, Source};
use bedstone_agent::status::{self, MinimumStatus, Status};
use bedstone_agent::transaction::{DIRECTORY, Records};
use bedstone_agent::trial::{self, Confirmed};
use bedstone_agent::{Error, Installation, Outcome, Repaired, Result, install, repair};
use bedstone_disk::layout::Slot;
use bedstone_store::{FileLock, Mode};

use arguments::{Command, Invocation};
use progress::{Display, Event};
use show::Reply;

/// Held while slots are changed.
const LOCK: &str = "/run/bedstone/update.lock";

/// Everything that a command may need.
struct Context {
    config: Config,
    boot: Boot,
    records: Records,
    interrupt: Arc<AtomicBool>,
}

/// Runs a command line and returns the exit code of `docs/reference/agent.md`.
pub(crate) fn run(words: impl Iterator<Item = OsString>) -> ExitCode {
    let invocation = match arguments::parse(words) {
        Ok(invocation) => invocation,
        Err(arguments::Stop::Help(text)) => {
            println!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(arguments::Stop::Wrong(reason)) => {
            eprintln!("error: {reason}\n\n{}", arguments::USAGE);
            return ExitCode::from(2);
        }
    };
    let json = invocation.json;
    match execute(invocation) {
        Ok(Reply::Silent) => ExitCode::SUCCESS,
        Ok(reply) => {
            println!(
                "{}",
                if json {
                    reply.json().to_string()
                } else {
                    reply.text()
                }
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            if json {
                println!("{}", show::error_json(&error));
            }
            eprintln!("{}", show::error_text(&error));
            ExitCode::from(show::exit_code(&error))
        }
    }
}

fn execute(invocation: Invocation) -> Result<Reply> {
    if let Command::Watch { socket } = &invocation.command {
        return watch::follow(socket, invocation.json);
    }
    let context = Context {
        config: Config::read(&invocation.config)?,
        boot: Boot::read(Path::new(BOOT_FILE))?,
        records: Records::new(DIRECTORY),
        interrupt: machine::interrupt()?,
    };
    let mut display = Display::new(invocation.json);
    let mut tell = |event: Event| display.show(&event);
    let reply = match invocation.command {
        Command::Install(arguments) => {
            let standard_input = || -> Box<dyn Read> { Box::new(std::io::stdin().lock()) };
            context.install(&arguments, standard_input, &mut tell)
        }
        Command::Status => context
            .status()
            .map(|status| Reply::Status(Box::new(status))),
        Command::Confirm => context.confirm(),
        Command::Rollback { reason } => context.rollback(&reason),
        Command::Repair => context.repair(&mut tell),
        Command::Daemon { socket } => serve::serve(&context, &socket),
        Command::Boot => boot::settle(&context),
        Command::Watch { .. } => Ok(Reply::Silent),
    };
    display.end();
    reply
}

impl Context {
    /// Opens the slots, alone.
    fn device(&self) -> Result<(Device<BlockFile>, FileLock)> {
        let lock = FileLock::try_acquire(LOCK, Mode::Exclusive)?.ok_or(Error::Busy)?;
        Ok((Device::open(&self.boot)?, lock))
    }

    /// The same, once whoever changes the slots now is done.
    fn device_in_turn(&self) -> Result<(Device<BlockFile>, FileLock)> {
        let lock = FileLock::acquire(LOCK, Mode::Exclusive)?;
        Ok((Device::open(&self.boot)?, lock))
    }

    /// Installs a bundle; `stream` is where the bundle `-` comes from.
    fn install<'a>(
        &self,
        arguments: &Install,
        stream: impl FnOnce() -> Box<dyn Read + 'a>,
        tell: &mut dyn FnMut(Event),
    ) -> Result<Reply> {
        let (mut device, _lock) = self.device()?;
        let input = match &arguments.bundle {
            Source::Stream => stream(),
            Source::Url(url) => machine::download(url, &self.interrupt),
            Source::File(path) => machine::open(path)?,
        };
        let key = arguments
            .key
            .as_deref()
            .map(machine::decryption_key)
            .transpose()?;
        let trust = machine::trust(&self.config)?;
        let policy = Policy {
            hardware: self.config.hardware.clone(),
            running_version: image_version()?,
            minimum_version: machine::minimum_version(),
            allow_downgrade: arguments.allow_downgrade,
            reinstall: arguments.reinstall,
        };
        let installation = Installation {
            trust: &trust,
            key: key.as_ref(),
            policy: &policy,
            attempts: self.config.attempts,
            records: &self.records,
            interrupt: &self.interrupt,
        };
        let outcome = install(&mut device, input, &installation, &mut |progress| {
            tell(Event::Installing(progress));
        });
        match outcome? {
            Outcome::UpToDate(version) => Ok(Reply::UpToDate(version)),
            Outcome::Installed { slot, version } => {
                if arguments.reboot {
                    machine::restart()?;
                }
                Ok(Reply::Installed { slot, version })
            }
        }
    }

    fn status(&self) -> Result<Status> {
        let device = Device::open_to_look(&self.boot)?;
        let known = machine::minimum();
        let minimum = known.minimum.as_ref();
        Ok(Status {
            version: 1,
            running: device.running.to_string(),
            image_version: image_version()?,
            minimum: minimum.map(MinimumStatus::from),
            slots: Slot::ALL
                .into_iter()
                .map(|slot| status::slot(&device, slot, minimum.map(|it| it.version.as_str())))
                .collect(),
            transaction: self.records.read()?,
            last_failure: self.boot.last_failure.clone(),
            etc_merge: status::etc_merge(&self.records.etc_layers(), device.running),
            warnings: known
                .faults
                .into_iter()
                .chain(self.boot.warnings.clone())
                .collect(),
        })
    }

    fn confirm(&self) -> Result<Reply> {
        let (mut device, _lock) = self.device()?;
        let confirmed = trial::confirm(&mut device)?;
        if confirmed == Confirmed::Now {
            boot::keep(boot::record_confirmed(&self.records, device.running));
        }
        machine::raise_minimum(&self.config)?;
        Ok(Reply::Confirmed(device.running, confirmed))
    }

    fn rollback(&self, reason: &str) -> Result<Reply> {
        let (mut device, _lock) = self.device()?;
        let from = device.running;
        let minimum = machine::minimum_version();
        trial::may_return(&device, from.other(), minimum.as_deref())?;
        trial::give_up(&mut device)?;
        boot::keep(boot::record_failed(&self.records, from, reason));
        machine::restart()?;
        Ok(Reply::RolledBack {
            from,
            to: from.other(),
        })
    }

    fn repair(&self, tell: &mut dyn FnMut(Event)) -> Result<Reply> {
        let (mut device, _lock) = self.device()?;
        let repaired = repair(
            &mut device,
            &self.records,
            &self.interrupt,
            &mut |bytes, of| tell(Event::Repairing { bytes, of }),
        );
        Ok(match repaired? {
            Repaired::NotNeeded(slot) => Reply::NotDamaged(slot),
            Repaired::Written(slot, reason) => Reply::Repaired { slot, reason },
        })
    }
}
