//! From a bundle to a slot that is started next.

mod delta;
mod kernel;
mod root;
mod source;

use std::fs;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};

use bedstone_bundle::crypt::Key;
use bedstone_bundle::signature::Trust;
use bedstone_bundle::{Bundle, Item};
use bedstone_disk::bgenv::{Environment, State, Value};
use bedstone_disk::boot_partition::{self, ATTEMPTS, Medium};
use bedstone_disk::content::Content;
use bedstone_disk::guid::Guid;
use bedstone_disk::layout::Slot;
use bedstone_disk::verity::{self, RootArguments};
use bedstone_store::Digest;

use crate::device::{Device, Partitions, kernel_file};
use crate::error::{Error, Result};
use crate::plan::{Plan, Policy, Verdict};
use crate::transaction::{self, Records, Transaction};
use source::{Running, Source};

/// Bytes that are copied at a time.
const PIECE: usize = 256 << 10;

/// Who installs, and how.
#[derive(Debug)]
pub struct Installation<'a> {
    /// Whose bundles are taken.
    pub trust: &'a Trust,
    /// The key for encrypted members.
    pub key: Option<&'a Key>,
    /// What else decides.
    pub policy: &'a Policy,
    /// Starts that the update has to prove itself, at least one.
    pub attempts: u8,
    /// Where transactions are kept; the kernel image waits there until the root file system is complete.
    pub records: &'a Records,
    /// Set to stop as soon as possible.
    pub interrupt: &'a AtomicBool,
}

/// How far an installation has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Signature and description are good; this is installed into this slot.
    Begun {
        /// The bundle's version.
        version: String,
        /// Who signed it.
        signer: String,
        /// The slot that is written.
        slot: Slot,
    },
    /// The running root file system is read: is it the one that the bundle is the difference to?
    CheckingBase,
    /// The difference is of no use, so the whole root file system is taken, which the bundle has too.
    TakingWhole {
        /// The result code that there would have been without.
        code: String,
        /// Why it is of no use.
        reason: String,
    },
    /// So much was made of the member.
    Member {
        /// Its name.
        name: String,
        /// Bytes of its content so far; for a difference, bytes of what comes out.
        bytes: u64,
    },
    /// Everything is on the disk; now it is read back.
    Verifying,
    /// A member that nobody signed is passed over.
    Unlisted(String),
}

/// What came of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is in this slot, which is started next.
    Installed {
        /// The slot.
        slot: Slot,
        /// The bundle's version.
        version: String,
    },
    /// This version is running already.
    UpToDate(String),
}

/// Installs the bundle that `input` yields into the slot that is not running.
///
/// Nothing is written before the signature is checked and the description accepted. From then on until the very last write
/// the slot cannot be started; an error leaves it so.
pub fn install<M: Medium + Send + Sync>(
    device: &mut Device<M>,
    input: impl Read,
    installation: &Installation<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Outcome> {
    let mut bundle = Bundle::open(input, installation.trust)?;
    let plan = match Verdict::of(bundle.description(), installation.policy)? {
        Verdict::Install(plan) => plan,
        Verdict::UpToDate(version) => return Ok(Outcome::UpToDate(version)),
    };
    let next = next_environment(device)?;
    let (slot, disk) = (device.target(), device.disk);
    let resumes = resumes(installation.records, &plan, slot)?;
    let (running, target) = device.both();
    let running = Running::new(&running.root, installation.interrupt);
    let place = slot.root_partition();
    let room = target.root.size().map_err(Error::io("measure", place))?;
    let source = Source::choose(&plan.root, &running, (room, place), progress)?;
    let transaction = Transaction::begin(&installation.policy.running_version, &plan.version, slot);
    installation.records.write(&transaction)?;
    progress(Progress::Begun {
        version: plan.version.clone(),
        signer: bundle.signer().subject.clone(),
        slot,
    });
    let job = Job {
        installation,
        plan: &plan,
        slot,
        disk,
        resumes,
    };
    let written = job.write(target, &mut bundle, source, next, progress);
    let _ = fs::remove_file(kernel::staged(installation.records));
    // What is remembered of it is for people: a full `/var` changes nothing about what became of the slot.
    match written {
        Ok(()) => {
            let installed = transaction.become_state(transaction::State::Installed);
            let _ = installation.records.write(&installed);
            Ok(Outcome::Installed {
                slot,
                version: plan.version,
            })
        }
        // One that was cut off goes on where it stopped, so its record stays as it is.
        Err(Error::Interrupted) => Err(Error::Interrupted),
        Err(error) => {
            let failed = transaction.failed(format!("{}: {}", error.code(), chain(&error)));
            let _ = installation.records.write(&failed);
            Err(error)
        }
    }
}

/// The environment that makes the other slot the one that is started next, if it may be written.
///
/// It may not while the running slot is on trial, because the other one is then where the machine falls back to, nor while
/// the boot loader would not start the running slot again.
fn next_environment<M: Medium>(device: &Device<M>) -> Result<Environment> {
    let slot = device.running;
    let own = device
        .environment(slot)
        .map_err(|error| Error::NotBootable {
            slot,
            reason: error.to_string(),
        })?;
    let refuse = |reason: &str| Error::NotBootable {
        slot,
        reason: reason.to_owned(),
    };
    match own.state {
        State::Installed | State::Testing => return Err(Error::OnTrial(slot)),
        State::Failed => return Err(refuse("it is marked as failed")),
        State::Ok => {}
    }
    if own.in_progress || own.revision == 0 {
        return Err(refuse("its environment is that of an unfinished update"));
    }
    Ok(Environment {
        kernel_file: kernel_file(device.target()),
        state: State::Installed,
        revision: own
            .revision
            .checked_add(1)
            .ok_or_else(|| refuse("its revision is the highest that there is"))?,
        // The watchdog's timeout is the machine's, not the update's.
        watchdog_seconds: own.watchdog_seconds,
        ..Environment::default()
    })
}

/// Whether the slot holds the beginning of the same update, or all of it.
fn resumes(records: &Records, plan: &Plan, slot: Slot) -> Result<bool> {
    Ok(records.read()?.is_some_and(|last| {
        use transaction::State::{Failed, Installing};
        matches!(last.state, Installing | Failed)
            && last.to == plan.version
            && Slot::parse(&last.slot) == Some(slot)
    }))
}

/// A slot to be written.
struct Job<'a> {
    installation: &'a Installation<'a>,
    plan: &'a Plan,
    slot: Slot,
    disk: Guid,
    /// Whether the slot holds some of it already.
    resumes: bool,
}

impl Job<'_> {
    /// Writes the slot and, last of all, the environment that starts it.
    fn write<M: Medium + Send + Sync, R: Read>(
        &self,
        target: &mut Partitions<M>,
        bundle: &mut Bundle<R>,
        source: Source<'_, M>,
        mut environment: Environment,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<()> {
        let (slot, installation) = (self.slot, self.installation);
        boot_partition::disable(&mut target.boot)?;
        // What the slot's former image had of `/etc` goes with it; its next start carries over what the device has then.
        installation.records.etc_layers().forget(slot)?;

        let stage = kernel::staged(installation.records);
        let (arguments, read_back) =
            self.take_members(&mut target.root, bundle, source, progress)?;
        progress(Progress::Verifying);
        target
            .root
            .settle()
            .map_err(Error::io("flush", slot.root_partition()))?;
        verity::verify_rest(
            &target.root,
            &arguments.superblock(),
            arguments.hash_offset,
            &arguments.hash,
            &read_back,
        )
        .map_err(Error::Mismatch)?;

        let left = installation.attempts.saturating_sub(1);
        environment.variables.set(ATTEMPTS, &Value::U8(left))?;
        let bytes = environment.to_bytes()?;
        let read_back = |source| Error::ReadBack {
            place: format!("partition `{}`", slot.boot_partition()),
            source,
        };
        boot_partition::renew(
            &mut target.boot,
            &target.identity,
            &environment,
            &Content::File(stage),
        )
        .map_err(read_back)?;
        if installation.interrupt.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        boot_partition::replace_environment(&mut target.boot, &bytes).map_err(read_back)?;
        Ok(())
    }

    /// Writes the root file system and puts the kernel image aside. Returns what that says about the root file system, and
    /// the hashes of the leaves that were read back already.
    fn take_members<M: Medium + Send + Sync, R: Read>(
        &self,
        target: &mut M,
        bundle: &mut Bundle<R>,
        mut source: Source<'_, M>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(RootArguments, Vec<Digest>)> {
        let stage = kernel::staged(self.installation.records);
        let mut resumes = self.resumes;
        let mut failed = None;
        let mut arguments = None;
        let mut read_back = Vec::new();
        while let Some(item) = bundle.next_item()? {
            match item {
                Item::Unlisted { name, .. } => {
                    progress(Progress::Unlisted(name.escape_debug().to_string()));
                }
                Item::Member(member) if member.name == source.member() => {
                    failed = None;
                    let known = arguments.as_ref();
                    match source.write(member, target, self, resumes, known, progress) {
                        Ok(hashes) => read_back = hashes,
                        Err(error) => {
                            // What is there already of the whole one need not be written again.
                            resumes = true;
                            match source.instead(&error, progress) {
                                Some(whole) => source = whole,
                                None => return Err(error),
                            }
                            failed = Some(error);
                        }
                    }
                }
                Item::Member(member) if member.name == self.plan.kernel => {
                    kernel::keep(member, &stage, self.installation, progress)?;
                    arguments = Some(kernel::arguments(&stage, &self.disk.to_string())?);
                }
                // Listed in a section that is not this device's.
                Item::Member(_) => {}
            }
        }
        // The whole root file system came before the difference, and is not seen again.
        if let Some(error) = failed {
            return Err(error);
        }
        let arguments = arguments.ok_or_else(|| Error::Malformed {
            path: stage,
            reason: "the bundle ended without it".to_owned(),
        })?;
        Ok((arguments, read_back))
    }
}

/// Reads a piece of a member, unless the user asked to stop.
fn read(content: &mut impl Read, buffer: &mut [u8], interrupt: &AtomicBool) -> Result<usize> {
    loop {
        if interrupt.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        match content.read(buffer) {
            Ok(length) => return Ok(length),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(bedstone_bundle::Error::from_read(error).into()),
        }
    }
}

/// An error with everything behind it, on one line.
pub(crate) fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
