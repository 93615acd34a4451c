//! From a bundle to a slot that is started next.

mod root;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use bedstone_bundle::crypt::Key;
use bedstone_bundle::signature::{Names, Trust};
use bedstone_bundle::{Bundle, Item, Member};
use bedstone_disk::bgenv::{Environment, State, Value};
use bedstone_disk::boot_partition::{self, ATTEMPTS, Medium};
use bedstone_disk::content::Content;
use bedstone_disk::layout::Slot;
use bedstone_disk::uki;
use bedstone_disk::verity::{self, RootArguments};

use crate::device::{Device, kernel_file};
use crate::error::{Error, Result};
use crate::plan::{Plan, Policy, Verdict};
use crate::transaction::{self, Records, Transaction};

/// Largest kernel image that is taken.
const KERNEL_LIMIT: u64 = 256 << 20;
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
    /// So many bytes of the member were taken.
    Member {
        /// Its name.
        name: String,
        /// Bytes of its content so far.
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
    let revision = may_write(device)?;
    let slot = device.target();
    let resumes = resumes(installation.records, &plan, slot)?;
    let transaction = Transaction::begin(&installation.policy.running_version, &plan.version, slot);
    installation.records.write(&transaction)?;
    progress(Progress::Begun {
        version: plan.version.clone(),
        signer: subject(bundle.signer()),
        slot,
    });
    let written = write(
        device,
        &mut bundle,
        &plan,
        installation,
        resumes,
        revision,
        progress,
    );
    let _ = fs::remove_file(staged(installation.records));
    match written {
        Ok(()) => {
            let state = transaction::State::Installed;
            installation
                .records
                .write(&transaction.become_state(state))?;
            Ok(Outcome::Installed {
                slot,
                version: plan.version,
            })
        }
        Err(error) => {
            // One that was cut off goes on where it stopped, so its record stays as it is.
            if !matches!(error, Error::Interrupted) {
                let failed = transaction.failed(format!("{}: {}", error.code(), chain(&error)));
                installation.records.write(&failed)?;
            }
            Err(error)
        }
    }
}

/// Whether the other slot may be written; the revision that makes it the newest.
///
/// It may not while the running slot is on trial, because the other one is then where the machine falls back to, nor while
/// the boot loader would not start the running slot again.
fn may_write<M: Medium>(device: &Device<M>) -> Result<u32> {
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
    own.revision
        .checked_add(1)
        .ok_or_else(|| refuse("its revision is the highest that there is"))
}

/// Whether the slot holds the beginning of the same update.
fn resumes(records: &Records, plan: &Plan, slot: Slot) -> Result<bool> {
    Ok(records.read()?.is_some_and(|last| {
        last.state == transaction::State::Installing
            && last.to == plan.version
            && Slot::parse(&last.slot) == Some(slot)
    }))
}

/// Writes the slot and, last of all, the environment that starts it.
fn write<M: Medium + Send + Sync, R: Read>(
    device: &mut Device<M>,
    bundle: &mut Bundle<R>,
    plan: &Plan,
    installation: &Installation<'_>,
    resumes: bool,
    revision: u32,
    progress: &mut dyn FnMut(Progress),
) -> Result<()> {
    let disk = device.disk;
    let slot = device.target();
    let target = device.slot_mut(slot);
    boot_partition::disable(&mut target.boot)?;

    let stage = staged(installation.records);
    let mut arguments = None;
    let mut read_back = Vec::new();
    while let Some(item) = bundle.next_item()? {
        match item {
            Item::Unlisted { name, .. } => {
                progress(Progress::Unlisted(name.escape_debug().to_string()));
            }
            Item::Member(member) if member.name == plan.root => {
                read_back = root::write(
                    member,
                    &mut target.root,
                    slot,
                    installation,
                    resumes,
                    arguments.as_ref(),
                    progress,
                )?;
            }
            Item::Member(member) if member.name == plan.kernel => {
                keep_kernel(member, &stage, installation, progress)?;
                arguments = Some(self::arguments(&stage, &disk.to_string())?);
            }
            // Listed in a section that is not this device's.
            Item::Member(_) => {}
        }
    }
    progress(Progress::Verifying);
    let place = |partition: &str| format!("partition `{partition}`");
    let arguments = arguments.ok_or_else(|| Error::Malformed {
        path: stage.clone(),
        reason: "the bundle ended without it".to_owned(),
    })?;
    verity::verify_rest(
        &target.root,
        &arguments.superblock(),
        arguments.hash_offset,
        &arguments.hash,
        &read_back,
    )
    .map_err(Error::Mismatch)?;

    let mut environment = Environment {
        kernel_file: kernel_file(slot),
        state: State::Installed,
        revision,
        ..Environment::default()
    };
    environment.watchdog_seconds = watchdog(device)?;
    let left = installation.attempts.saturating_sub(1);
    environment.variables.set(ATTEMPTS, &Value::U8(left))?;
    let bytes = environment.to_bytes()?;
    let target = device.slot_mut(slot);
    let read_back = |source| Error::ReadBack {
        place: place(slot.boot_partition()),
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

/// The watchdog's timeout is the machine's, not the update's.
fn watchdog<M: Medium>(device: &Device<M>) -> Result<u16> {
    Ok(device.environment(device.running)?.watchdog_seconds)
}

/// Puts the kernel image aside, so that it is known to be right before the boot partition changes.
fn keep_kernel<R: Read>(
    member: Member<'_, R>,
    path: &Path,
    installation: &Installation<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<()> {
    let name = member.name.clone();
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(Error::io("create", directory))?;
    }
    let mut content = member.content(installation.key)?;
    let mut file = File::create(path).map_err(Error::io("create", path))?;
    let mut buffer = vec![0; PIECE];
    let mut bytes = 0;
    loop {
        let length = read(&mut content, &mut buffer, installation.interrupt)?;
        if length == 0 {
            return Ok(());
        }
        bytes += length as u64;
        if bytes > KERNEL_LIMIT {
            return Err(Error::TooLarge {
                member: name,
                limit: KERNEL_LIMIT,
                place: "a kernel image".to_owned(),
            });
        }
        file.write_all(&buffer[..length])
            .map_err(Error::io("write", path))?;
        progress(Progress::Member {
            name: name.clone(),
            bytes,
        });
    }
}

/// What the kernel image says about its root file system; it must be made for this disk.
fn arguments(kernel: &Path, disk: &str) -> Result<RootArguments> {
    let file = File::open(kernel).map_err(Error::io("open", kernel))?;
    let command_line = uki::command_line(&file)?;
    let wanted = command_line
        .split_ascii_whitespace()
        .find_map(|argument| argument.strip_prefix("bedstone.disk="))
        .unwrap_or("none");
    if !wanted.eq_ignore_ascii_case(disk) {
        return Err(Error::WrongProduct {
            wanted: wanted.escape_debug().to_string(),
            own: disk.to_owned(),
        });
    }
    Ok(RootArguments::parse(&command_line)?)
}

fn staged(records: &Records) -> PathBuf {
    records.directory().join("kernel.part")
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

fn subject(signer: &Names) -> String {
    signer.subject.clone()
}

/// An error with everything behind it, on one line.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
