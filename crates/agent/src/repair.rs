//! A damaged slot written again from the running one.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use bedstone_disk::authenticode;
use bedstone_disk::bgenv::{Environment, State};
use bedstone_disk::boot_partition::{self, Medium, usable};
use bedstone_disk::content::Content;
use bedstone_disk::fat::Volume;
use bedstone_disk::layout::{KERNEL_FILE_NAME, Slot};
use bedstone_disk::pe;
use bedstone_disk::storage::{Aligned, ReadAt};
use bedstone_disk::uki;
use bedstone_disk::verity::{self, RootArguments};

use crate::device::{Device, kernel_file};
use crate::error::{Error, Result};
use crate::transaction::Records;

/// Largest kernel image that is copied.
const KERNEL_LIMIT: u64 = 256 << 20;
const PIECE: usize = 256 << 10;

/// What a repair came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repaired {
    /// The slot was good: environment, kernel and every block of its root file system.
    NotNeeded(Slot),
    /// It was not, for this reason, and now holds what the running slot holds.
    Written(Slot, String),
}

/// Looks at the other slot and writes it again from the running one where it is damaged.
///
/// The running slot's blocks are verified before they are copied. Afterwards the boot loader may start either slot: they are
/// the same.
pub fn repair<M: Medium + Sync>(
    device: &mut Device<M>,
    records: &Records,
    interrupt: &AtomicBool,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Repaired> {
    let (from, to) = (device.running, device.target());
    let Err(reason) = inspect(device, to) else {
        return Ok(Repaired::NotNeeded(to));
    };
    let own = device.environment(from)?;
    if own.state != State::Ok {
        return Err(Error::OnTrial(from));
    }
    let kernel = kernel(device, from)?;
    as_signed(&kernel)?;
    let arguments = arguments(&kernel)?;
    check(&device.slot(from).root, &arguments)?;

    boot_partition::disable(&mut device.slot_mut(to).boot)?;
    let length = end_of(&arguments)?;
    let (source, target) = device.both();
    let (source, target) = (&source.root, &mut target.root);
    let mut buffer = Aligned::new(PIECE);
    let mut done = 0;
    while done < length {
        if interrupt.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        let piece = &mut buffer[..(length - done).min(PIECE as u64) as usize];
        source
            .read_exact_at(piece, done)
            .map_err(Error::io("read", from.root_partition()))?;
        target
            .write_all_at(piece, done)
            .map_err(Error::io("write", to.root_partition()))?;
        done += piece.len() as u64;
        progress(done, length);
    }
    target
        .settle()
        .map_err(Error::io("flush", to.root_partition()))?;
    check(&*target, &arguments)?;

    let environment = Environment {
        kernel_file: kernel_file(to),
        state: State::Ok,
        // Below the running one where there is room; both hold the same, so the other way round is as good.
        revision: if own.revision > 1 {
            own.revision - 1
        } else {
            own.revision + 1
        },
        watchdog_seconds: own.watchdog_seconds,
        ..Environment::default()
    };
    let stage = records.directory().join("kernel.part");
    fs::create_dir_all(records.directory()).map_err(Error::io("create", records.directory()))?;
    fs::write(&stage, &kernel).map_err(Error::io("write", &stage))?;
    let partitions = device.slot_mut(to);
    let renewed = boot_partition::renew(
        &mut partitions.boot,
        &partitions.identity,
        &environment,
        &Content::File(stage.clone()),
    )
    .and_then(|()| environment.to_bytes())
    .and_then(|bytes| boot_partition::replace_environment(&mut partitions.boot, &bytes));
    let _ = fs::remove_file(&stage);
    renewed.map_err(|source| Error::ReadBack {
        place: format!("partition `{}`", to.boot_partition()),
        source,
    })?;
    Ok(Repaired::Written(to, reason))
}

/// Why a slot would not come up; every block is read.
fn inspect<M: Medium + Sync>(device: &Device<M>, slot: Slot) -> Result<(), String> {
    usable(&device.slot(slot).boot)?;
    let look = || -> Result<()> {
        let other = kernel(device, slot)?;
        // Where the running kernel had to be signed, the other one has to be.
        if !as_signed(&other)? && as_signed(&kernel(device, slot.other())?)? {
            return Err(bedstone_disk::Error::Unsigned.into());
        }
        check(&device.slot(slot).root, &arguments(&other)?)
    };
    look().map_err(|error| error.to_string())
}

/// Whether a kernel image is signed. One whose signature is over something else is an error; whose signature it is, is for
/// the firmware to judge.
fn as_signed(kernel: &[u8]) -> Result<bool> {
    let image = pe::Image::parse(kernel)?;
    let signatures = authenticode::signatures(&image)?;
    let Some(first) = signatures.first() else {
        return Ok(false);
    };
    let actual = authenticode::digest(&image)?;
    if signatures
        .iter()
        .any(|signature| signature.digest == actual)
    {
        return Ok(true);
    }
    let signed = first.digest;
    Err(bedstone_disk::Error::SignedDigest { signed, actual }.into())
}

fn kernel<M: Medium>(device: &Device<M>, slot: Slot) -> Result<Vec<u8>> {
    let partition = &device.slot(slot).boot;
    Ok(Volume::open(partition)?.read(KERNEL_FILE_NAME, KERNEL_LIMIT)?)
}

fn arguments(kernel: &[u8]) -> Result<RootArguments> {
    Ok(RootArguments::parse(
        uki::Contents::read(kernel)?.command_line,
    )?)
}

fn check(root: &(impl ReadAt + Sync), arguments: &RootArguments) -> Result<()> {
    let superblock = arguments.superblock();
    verity::verify(root, &superblock, arguments.hash_offset, &arguments.hash)?;
    Ok(())
}

/// Bytes of the root file system with its hash tree.
fn end_of(arguments: &RootArguments) -> Result<u64> {
    let superblock = arguments.superblock();
    let block = u64::from(superblock.hash_block_size);
    let blocks: u64 = superblock.levels().iter().sum();
    let end = superblock
        .hash_start_block(arguments.hash_offset)
        .checked_add(blocks)
        .and_then(|blocks| blocks.checked_mul(block));
    end.ok_or_else(|| Error::Malformed {
        path: "the kernel's command line".into(),
        reason: "the root file system is larger than any disk".to_owned(),
    })
}
