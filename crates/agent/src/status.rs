//! What `bedstone-agent status` tells.

use bedstone_disk::bgenv::{State, Value, Variable};
use bedstone_disk::boot_partition::{ATTEMPTS, Medium};
use bedstone_disk::layout::Slot;
use serde::Serialize;

use crate::device::Device;
use crate::transaction::Transaction;

/// The state of the machine's slots. The JSON form is stable; fields may be added.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// 1.
    pub version: u32,
    /// The running slot.
    pub running: String,
    /// Version of the running image.
    pub image_version: String,
    /// Both slots, A first.
    pub slots: Vec<SlotStatus>,
    /// The last update.
    pub transaction: Option<Transaction>,
    /// Why the start before this one failed, as the initramfs recorded it.
    pub last_failure: Option<String>,
}

/// A slot as the boot loader sees it.
#[derive(Debug, Clone, Serialize)]
pub struct SlotStatus {
    /// `a` or `b`.
    pub slot: String,
    /// `confirmed`, `installed`, `testing`, `failed`, `incomplete` or `damaged`.
    pub state: &'static str,
    /// Its revision: the highest is started.
    pub revision: Option<u32>,
    /// Starts that it has left to prove itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u8>,
    /// What is damaged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// A slot's state by its environment.
pub fn slot<M: Medium>(device: &Device<M>, slot: Slot) -> SlotStatus {
    let name = slot.to_string();
    let environment = match device.environment(slot) {
        Ok(environment) => environment,
        Err(error) => {
            return SlotStatus {
                slot: name,
                state: "damaged",
                revision: None,
                attempts: None,
                fault: Some(error.to_string()),
            };
        }
    };
    let state = match environment.state {
        _ if environment.in_progress => "incomplete",
        State::Ok => "confirmed",
        State::Installed => "installed",
        State::Testing => "testing",
        State::Failed => "failed",
    };
    let attempts = environment
        .variables
        .get(ATTEMPTS)
        .and_then(Variable::value);
    SlotStatus {
        slot: name,
        state,
        revision: Some(environment.revision),
        attempts: match attempts {
            Some(Value::U8(left)) if state != "confirmed" => Some(left),
            _ => None,
        },
        fault: None,
    }
}
