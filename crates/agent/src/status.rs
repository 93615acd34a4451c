//! What `bedstone-agent status` tells.

use bedstone_disk::bgenv::{State, Value, Variable};
use bedstone_disk::boot_partition::{ATTEMPTS, Medium};
use bedstone_disk::layout::Slot;
use bedstone_state::minimum::{Minimum, is_below};
use serde::Serialize;

use crate::device::Device;
use crate::transaction::Transaction;
use crate::trial;

/// The state of the machine's slots. The JSON form is stable; fields may be added.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// 1.
    pub version: u32,
    /// The running slot.
    pub running: String,
    /// Version of the running image.
    pub image_version: String,
    /// The lowest version that the device may run.
    pub minimum: Option<MinimumStatus>,
    /// Both slots, A first.
    pub slots: Vec<SlotStatus>,
    /// The last update.
    pub transaction: Option<Transaction>,
    /// Why the start before this one failed, as the initramfs recorded it.
    pub last_failure: Option<String>,
    /// What does not go as it should.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// The lowest version that the device may run.
#[derive(Debug, Clone, Serialize)]
pub struct MinimumStatus {
    /// The version.
    pub version: String,
    /// `firmware`, or `file` where the firmware keeps no variables: who can write to the disk can then remove it.
    pub kept_in: &'static str,
}

/// A slot as the boot loader sees it.
#[derive(Debug, Clone, Serialize)]
pub struct SlotStatus {
    /// `a` or `b`.
    pub slot: String,
    /// `confirmed`, `installed`, `testing`, `failed`, `incomplete` or `damaged`.
    pub state: &'static str,
    /// Version of the image in it, as its kernel says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_version: Option<String>,
    /// It is below the minimum version: it is started only when the other one cannot be.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub below_minimum: bool,
    /// Its revision: the highest is started.
    pub revision: Option<u32>,
    /// Starts that it has left to prove itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u8>,
    /// What is damaged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

impl From<&Minimum> for MinimumStatus {
    fn from(minimum: &Minimum) -> Self {
        Self {
            version: minimum.version.clone(),
            kept_in: minimum.kept.name(),
        }
    }
}

/// A slot's state by its environment.
pub fn slot<M: Medium>(device: &Device<M>, slot: Slot, minimum: Option<&str>) -> SlotStatus {
    let name = slot.to_string();
    let image_version = trial::version(device, slot);
    let below_minimum = minimum.is_some_and(|it| is_below(image_version.as_deref(), it));
    let environment = match device.environment(slot) {
        Ok(environment) => environment,
        Err(error) => {
            return SlotStatus {
                slot: name,
                state: "damaged",
                image_version,
                below_minimum,
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
        image_version,
        below_minimum,
        revision: Some(environment.revision),
        attempts: match attempts {
            Some(Value::U8(left)) if state != "confirmed" => Some(left),
            _ => None,
        },
        fault: None,
    }
}
