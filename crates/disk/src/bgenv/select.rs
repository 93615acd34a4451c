use super::{IN_PROGRESS, PARAMS, REVISION, SIZE, STATE, State, TEXT, WATCHDOG};
use super::{is_valid, seal, units};
use crate::storage::{le16, le32};

/// Which behaviour of EFI Boot Guard to predict. The selection is the same in all releases from 0.13 to 0.22; what
/// happens to a kernel that cannot be loaded is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loader {
    /// 0.13 to 0.19.
    UpTo0_19,
    /// 0.20 to 0.22.
    Since0_20,
}

/// What happens when the selected kernel cannot be loaded: it is missing, or its signature is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadFailure {
    /// The boot loader returns to the firmware, which goes on with the next entry of `BootOrder` or stops.
    ReturnToFirmware,
    /// The machine is reset, and the next selection finds the slot in state TESTING.
    Reset,
}

/// What the boot loader does with a set of environments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The volume whose environment is used. None: the boot loader gives up (more than two environments, or no one).
    pub boots: Option<usize>,
    /// Whether that environment is an invalid one, used for want of a better.
    pub corrupt: bool,
    /// Its kernel file, empty when there is none.
    pub kernel_file: String,
    /// Its kernel parameters.
    pub kernel_params: String,
    /// The watchdog timeout that is armed, in seconds.
    pub watchdog_seconds: u16,
    /// Volumes and the new bytes of their `BGENV.DAT`, written before the kernel is loaded.
    pub writes: Vec<(usize, Vec<u8>)>,
    /// What follows when the kernel cannot be loaded.
    pub on_load_failure: LoadFailure,
}

/// Predicts what EFI Boot Guard does, given each volume's `BGENV.DAT` in the order in which the firmware enumerates
/// the volumes; `None` for a volume without that file.
///
/// | newest valid environment                   | boots                  | writes               |
/// |--------------------------------------------|------------------------|----------------------|
/// | in progress                                | the other              | nothing              |
/// | INSTALLED                                  | it                     | TESTING              |
/// | TESTING                                    | the other              | FAILED with revision 0 |
/// | OK, FAILED or unknown                      | it                     | nothing              |
/// | none is valid, or all have revision 0      | the first, whatever it is | by its state, as above |
///
/// “The other” is the valid environment with the next lower revision above 0; where there is none, it is the **first**
/// environment, even when that is corrupt or the newest itself. Nothing is written unless there are exactly two
/// environments. On equal revisions the first wins. Source: `load_config` in `env/fatvars.c`, `efi_main` in `main.c`.
pub fn select(environments: &[Option<&[u8]>], loader: Loader) -> Decision {
    let found: Vec<(usize, &[u8])> = environments
        .iter()
        .enumerate()
        .filter_map(|(volume, bytes)| Some((volume, (*bytes)?)))
        .collect();
    let mut decision = Decision {
        boots: None,
        corrupt: false,
        kernel_file: String::new(),
        kernel_params: String::new(),
        watchdog_seconds: 0,
        writes: Vec::new(),
        on_load_failure: LoadFailure::ReturnToFirmware,
    };
    if found.is_empty() || found.len() > 2 {
        return decision;
    }
    let mut memory: Vec<Vec<u8>> = found.iter().map(|(_, bytes)| load(bytes)).collect();
    let valid: Vec<bool> = found.iter().map(|(_, bytes)| is_valid(bytes)).collect();

    let (mut latest, mut previous) = (0, 0);
    let (mut latest_revision, mut previous_revision) = (0, 0);
    for (index, bytes) in memory.iter().enumerate().filter(|(index, _)| valid[*index]) {
        let revision = le32(bytes, REVISION);
        if revision > latest_revision {
            (previous, previous_revision) = (latest, latest_revision);
            (latest, latest_revision) = (index, revision);
        } else if revision > previous_revision {
            (previous, previous_revision) = (index, revision);
        }
    }

    let mut chosen = latest;
    if memory[latest][IN_PROGRESS] == 1 {
        chosen = previous;
    } else if let Some((state, revision)) = match memory[latest][STATE] {
        state if state == State::Testing as u8 => Some((State::Failed, 0)),
        state if state == State::Installed as u8 => {
            Some((State::Testing, le32(&memory[latest], REVISION)))
        }
        _ => None,
    } {
        let bytes = &mut memory[latest];
        bytes[STATE] = state as u8;
        bytes[REVISION..REVISION + 4].copy_from_slice(&revision.to_le_bytes());
        if found.len() == 2 {
            seal(bytes);
            decision.writes.push((found[latest].0, bytes.clone()));
        }
        if state == State::Failed {
            chosen = previous;
        }
    }

    if loader == Loader::Since0_20 && memory[latest][STATE] == State::Testing as u8 {
        decision.on_load_failure = LoadFailure::Reset;
    }
    let bytes = &memory[chosen];
    decision.boots = Some(found[chosen].0);
    decision.corrupt = !valid[chosen];
    decision.kernel_file = lossy(&bytes[..TEXT]);
    decision.kernel_params = lossy(&bytes[PARAMS..PARAMS + TEXT]);
    decision.watchdog_seconds = le16(bytes, WATCHDOG);
    decision
}

/// The environment as it stands in the boot loader's memory: zeros behind a short file, both texts terminated.
fn load(file: &[u8]) -> Vec<u8> {
    let mut bytes = file[..file.len().min(SIZE)].to_vec();
    bytes.resize(SIZE, 0);
    for end in [TEXT, PARAMS + TEXT] {
        bytes[end - 2..end].fill(0);
    }
    bytes
}

fn lossy(field: &[u8]) -> String {
    String::from_utf16_lossy(&units(field).unwrap_or_default())
}
