use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use bedstone_store::atomic;
use bedstone_sys::pidfd::BoundChild;
use serde::{Deserialize, Serialize};

use super::directory::RunDirectory;
use super::discover::Tools;
use crate::error::{Error, Result};

/// How a machine's instructions shall run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Acceleration {
    /// By the processor where that works, otherwise by translation.
    #[default]
    Auto,
    /// By the processor (KVM).
    Kvm,
    /// By translation, anywhere.
    Tcg,
}

/// How a machine's instructions run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accelerator {
    /// By the processor (KVM).
    Kvm,
    /// By translation.
    Tcg,
}

/// How long a guest of one instruction may take; nested virtualisation can hang for ever.
const LIMIT: Duration = Duration::from_secs(4);
/// QEMU's exit status when the probe guest writes [`WORD`] to the exit device.
const GOOD: i32 = (WORD as i32) << 1 | 1;
const WORD: u8 = 0x2a;

#[derive(Serialize, Deserialize)]
struct Answer {
    boot: String,
    qemu: String,
    accelerator: Accelerator,
}

impl Accelerator {
    /// Chooses what works here: KVM counts only if a tiny guest really ran to its end within 4 s.
    ///
    /// The answer is kept in `cache` for as long as the host does not boot and QEMU stays the same.
    ///
    /// # Errors
    /// [`Error::Acceleration`] when [`Acceleration::Kvm`] was asked for and does not work.
    pub fn choose(tools: &Tools, wanted: Acceleration, cache: &Path) -> Result<Self> {
        if wanted == Acceleration::Tcg {
            return Ok(Self::Tcg);
        }
        let file = cache.join("acceleration.json");
        let boot = boot_id()?;
        let known = fs::read(&file)
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Answer>(&bytes).ok())
            .filter(|answer| answer.boot == boot && answer.qemu == tools.qemu_version);
        let accelerator = if let Some(answer) = known {
            answer.accelerator
        } else {
            let accelerator = if works(tools, Self::Kvm)? {
                Self::Kvm
            } else {
                Self::Tcg
            };
            let answer = Answer {
                boot,
                qemu: tools.qemu_version.clone(),
                accelerator,
            };
            let bytes = serde_json::to_vec(&answer).unwrap_or_default();
            atomic::write(&file, &bytes)?;
            accelerator
        };
        if wanted == Acceleration::Kvm && accelerator != Self::Kvm {
            return Err(Error::Acceleration("kvm"));
        }
        Ok(accelerator)
    }

    /// QEMU's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }

    /// The arguments that choose it, and a processor that suits it.
    ///
    /// Translated, `max` makes user space slower because it invites to vector code that no host instruction matches;
    /// Nehalem is x86-64-v2, what distributions ask for at most.
    pub(crate) fn arguments(self) -> [&'static str; 4] {
        match self {
            Self::Kvm => ["-accel", "kvm", "-cpu", "host"],
            Self::Tcg => ["-accel", "tcg,thread=multi", "-cpu", "Nehalem"],
        }
    }
}

/// Whether a guest whose only act is to write [`WORD`] to the exit device gets so far.
fn works(tools: &Tools, accelerator: Accelerator) -> Result<bool> {
    if accelerator == Accelerator::Kvm
        && fs::File::options()
            .read(true)
            .write(true)
            .open("/dev/kvm")
            .is_err()
    {
        return Ok(false);
    }
    let directory = RunDirectory::create(tools.work())?;
    let guest = directory.path().join("guest");
    fs::write(&guest, probe_guest()).map_err(Error::io("write", &guest))?;
    let mut command = Command::new(&tools.qemu);
    command
        .args(accelerator.arguments())
        .args([
            "-machine",
            "q35",
            "-m",
            "16",
            "-nodefaults",
            "-no-user-config",
        ])
        .args(["-display", "none", "-bios"])
        .arg(&guest)
        .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=4"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = BoundChild::spawn(command, Vec::new()).map_err(|source| Error::Start {
        program: tools.qemu.clone(),
        source,
    })?;
    let status = child
        .wait_for(LIMIT)
        .map_err(Error::io("wait for", &tools.qemu))?;
    Ok(status.and_then(|status| status.code()) == Some(GOOD))
}

/// A BIOS whose reset vector holds `mov al, WORD; out 0xf4, al; hlt; jmp $-1`.
fn probe_guest() -> Vec<u8> {
    let code = [0xb0, WORD, 0xe6, 0xf4, 0xf4, 0xeb, 0xfd];
    let mut image = vec![0x90; 1 << 16];
    let reset = image.len() - 16;
    image[reset..reset + code.len()].copy_from_slice(&code);
    image
}

fn boot_id() -> Result<String> {
    let path = "/proc/sys/kernel/random/boot_id";
    fs::read_to_string(path)
        .map(|id| id.trim().to_owned())
        .map_err(Error::io("read", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use std::time::Instant;

    fn tools(work: &Path) -> Tools {
        let path: Vec<PathBuf> = ["/usr/bin", "/bin"].map(PathBuf::from).to_vec();
        Tools::discover(&path, Path::new("/usr/share/OVMF"), work)
            .expect("apt-get install qemu-system-x86 qemu-utils")
    }

    #[test]
    fn the_probe_guest_runs() {
        let work = tempfile::tempdir().unwrap();
        assert!(works(&tools(work.path()), Accelerator::Tcg).unwrap());
    }

    #[test]
    fn chooses_within_the_deadline_and_remembers() {
        let work = tempfile::tempdir().unwrap();
        let tools = tools(work.path());
        let begun = Instant::now();
        let first = Accelerator::choose(&tools, Acceleration::Auto, work.path()).unwrap();
        assert!(begun.elapsed() < LIMIT + Duration::from_secs(6));
        let file = work.path().join("acceleration.json");
        let kept = fs::read(&file).unwrap();
        let begun = Instant::now();
        assert_eq!(
            Accelerator::choose(&tools, Acceleration::Auto, work.path()).unwrap(),
            first
        );
        assert!(begun.elapsed() < Duration::from_secs(1));
        assert_eq!(fs::read(&file).unwrap(), kept);
        let kvm = Accelerator::choose(&tools, Acceleration::Kvm, work.path());
        assert_eq!(kvm.is_ok(), first == Accelerator::Kvm);
        // Another QEMU asks again.
        let other = Answer {
            boot: boot_id().unwrap(),
            qemu: "other".into(),
            accelerator: Accelerator::Kvm,
        };
        fs::write(&file, serde_json::to_vec(&other).unwrap()).unwrap();
        assert_eq!(
            Accelerator::choose(&tools, Acceleration::Auto, work.path()).unwrap(),
            first
        );
    }
}
