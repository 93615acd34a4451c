//! What happens at every start: the last update's fate is told, and a slot on trial is tried.

use std::io::ErrorKind;

use bedstone_agent::transaction::{Records, State, Transaction};
use bedstone_agent::trial::{self, Confirmed};
use bedstone_agent::{Error, Result, health};
use bedstone_disk::layout::Slot;

use super::show::{self, Reply};
use super::{Context, machine};

/// Why an update that left nothing behind is believed to have failed.
const UNKNOWN: &str = "it was reset before it could tell why: a power cut, a hang that the watchdog ended, or a kernel that stopped";

/// There as long as the running slot has to prove itself; made by the initramfs, and looked for by `bedstone-trial.service`.
const TRIAL: &str = "/run/bedstone/trial";

/// Tells what became of the last update; when the running slot is on trial, waits for it to prove itself and confirms it, or
/// leaves it.
pub(super) fn settle(context: &Context) -> Result<Reply> {
    let (device, lock) = match context.device_in_turn() {
        Ok(opened) => opened,
        // Started without firmware, for a quick look: there is nothing to try.
        Err(Error::UnknownSlot) => return Ok(Reply::Nothing),
        Err(error) => return Err(error),
    };
    let running = device.running;
    if !trial::is_on_trial(&device)? {
        let confirmed = trial::is_confirmed(&device)?;
        let reply = fallen_back(context, running)?;
        // A confirmed image's minimum holds also when the power failed before it was kept.
        if confirmed {
            machine::raise_minimum(&context.config)?;
        }
        return Ok(reply);
    }
    if let Some(last) = of_slot(&context.records, running)? {
        keep(context.records.write(&last.become_state(State::Testing)));
    }
    // Probing takes minutes, in which others may want something too.
    drop((device, lock));
    let probed = health::wait(&context.config.health, &context.interrupt);
    if context.interrupt.load(std::sync::atomic::Ordering::Relaxed) {
        return Err(Error::Interrupted);
    }
    let (mut device, _lock) = context.device_in_turn()?;
    match probed {
        Ok(()) => {
            let confirmed = trial::confirm(&mut device)?;
            if confirmed == Confirmed::Now {
                keep(record_confirmed(&context.records, running));
            }
            machine::raise_minimum(&context.config)?;
            Ok(Reply::Confirmed(running, confirmed))
        }
        Err(failures) => {
            let reason = format!(
                "not healthy after {} s: {}",
                context.config.health.deadline,
                failures.join("; ")
            );
            keep(record_failed(&context.records, running, &reason));
            trial::give_up(&mut device)?;
            machine::restart()?;
            Ok(Reply::RolledBack {
                from: running,
                to: running.other(),
            })
        }
    }
}

/// Says that something could not be recorded. A full `/var` decides nothing about a slot.
pub(super) fn keep(recorded: Result<()>) {
    if let Err(error) = recorded {
        eprintln!("{}", show::error_text(&error));
    }
}

/// The last update went to the other slot and was to run now: it failed.
fn fallen_back(context: &Context, running: Slot) -> Result<Reply> {
    let Some(last) = context.records.read()? else {
        return Ok(Reply::Nothing);
    };
    let elsewhere = Slot::parse(&last.slot) != Some(running);
    match last.state {
        State::Installed | State::Testing if elsewhere => {
            let reason = context
                .boot
                .last_failure
                .clone()
                .unwrap_or_else(|| UNKNOWN.to_owned());
            let failed = last.failed(reason);
            context.records.write(&failed)?;
            Ok(Reply::FellBack(failed))
        }
        State::Failed if elsewhere => Ok(Reply::FellBack(last)),
        State::Testing => {
            // It was confirmed by hand, or the record was cut off.
            record_confirmed(&context.records, running)?;
            Ok(Reply::Confirmed(running, Confirmed::Already))
        }
        _ => Ok(Reply::Nothing),
    }
}

/// The last transaction, if it is about this slot.
fn of_slot(records: &Records, slot: Slot) -> Result<Option<Transaction>> {
    Ok(records
        .read()?
        .filter(|last| Slot::parse(&last.slot) == Some(slot)))
}

/// Ends the trial of a slot that was confirmed.
pub(super) fn record_confirmed(records: &Records, slot: Slot) -> Result<()> {
    match std::fs::remove_file(TRIAL) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(source) => {
            return Err(Error::Io {
                action: "remove",
                path: TRIAL.into(),
                source,
            });
        }
    }
    match of_slot(records, slot)? {
        Some(last) => records.write(&last.become_state(State::Confirmed)),
        None => Ok(()),
    }
}

/// Keeps why a slot is left, with the end of its journal.
pub(super) fn record_failed(records: &Records, slot: Slot, reason: &str) -> Result<()> {
    match of_slot(records, slot)? {
        Some(last) => records.write(&Transaction {
            journal: machine::journal(),
            ..last.failed(reason)
        }),
        None => Ok(()),
    }
}
