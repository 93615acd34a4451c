//! What `bedstone-agent status` tells.

use std::fs::File;
use std::io::Read;

use bedstone_disk::bgenv::{State, Value, Variable};
use bedstone_disk::boot_partition::{ATTEMPTS, Medium};
use bedstone_disk::layout::Slot;
use bedstone_state::etc::layers::{Layers, REPORT};
use bedstone_state::minimum::{Minimum, is_below};
use serde::{Deserialize, Serialize};

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
    /// What was carried over of `/etc` when the running slot's image was first started; none where nothing had to be.
    pub etc_merge: Option<EtcMerge>,
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

/// What the initramfs told of a merge of `/etc`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EtcMerge {
    /// 1.
    pub version: u32,
    /// Changes of the device that are as they were.
    pub kept: u64,
    /// Changes that the image brought.
    pub taken: u64,
    /// What both had changed.
    pub entries: Vec<EtcEntry>,
}

/// Something in `/etc` that both device and image had changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EtcEntry {
    /// Its path in `/etc`.
    pub path: String,
    /// `merged`, or `conflict`: somebody should look.
    pub outcome: String,
    /// More about it.
    pub note: String,
}

/// What is told of the merge that made a slot's layer; one that cannot be read is as good as none.
pub fn etc_merge(layers: &Layers, slot: Slot) -> Option<EtcMerge> {
    /// Far more than a report of every file would have.
    const LIMIT: u64 = 4 << 20;
    let file = File::open(layers.layer(slot).join(REPORT)).ok()?;
    let merge: EtcMerge = serde_json::from_reader(file.take(LIMIT)).ok()?;
    (merge.version == 1).then_some(merge)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_initramfs_tells_of_etc() {
        let directory = tempfile::tempdir().unwrap();
        let layers = Layers::new(directory.path());
        assert_eq!(etc_merge(&layers, Slot::B), None);
        std::fs::create_dir(layers.layer(Slot::B)).unwrap();
        let path = layers.layer(Slot::B).join(REPORT);
        let text = r#"{"version":1,"kept":3,"taken":2,"entries":[{"path":"hosts","outcome":"conflict","note":"both changed it"}]}"#;
        std::fs::write(&path, text).unwrap();
        let merge = etc_merge(&layers, Slot::B).unwrap();
        assert_eq!((merge.kept, merge.taken), (3, 2));
        assert_eq!(merge.entries[0].path, "hosts");
        assert_eq!(etc_merge(&layers, Slot::A), None);
        std::fs::write(&path, text.replace("\"version\":1", "\"version\":2")).unwrap();
        assert_eq!(etc_merge(&layers, Slot::B), None);
    }
}
