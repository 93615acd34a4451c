//! The machine around the slots: files, signals, restart.

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{SystemTime, UNIX_EPOCH};

use bedstone_agent::config::{CertificateTime, Config, image_version};
use bedstone_agent::transaction::{DIRECTORY, JOURNAL_LINES};
use bedstone_agent::{Error, Result, trial};
use bedstone_bundle::crypt::Key;
use bedstone_bundle::signature::{Clock, Trust};
use bedstone_delta::http::{Download, Patience};
use bedstone_disk::efi_variables::GLOBAL;
use bedstone_state::minimum::{self, Known};
use bedstone_state::variables::{self, Variables};
use signal_hook::consts::{SIGINT, SIGTERM};

/// Set by Ctrl-C and by a request to end.
pub(super) fn interrupt() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&flag))
            .map_err(io("handle signals for", "bedstone-agent"))?;
    }
    Ok(flag)
}

pub(super) fn open(path: &Path) -> Result<Box<dyn Read>> {
    let file = File::open(path).map_err(io("read", path))?;
    Ok(Box::new(BufReader::with_capacity(256 << 10, file)))
}

/// A bundle on a server, which is asked when the first byte is read.
pub(super) fn download(url: &str, interrupt: &Arc<AtomicBool>) -> Box<dyn Read> {
    let download = Download::new(url, Patience::default(), Arc::clone(interrupt));
    Box::new(BufReader::with_capacity(64 << 10, download))
}

pub(super) fn decryption_key(path: &Path) -> Result<Key> {
    let bytes = fs::read(path).map_err(io("read", path))?;
    Ok(Key::parse(&bytes)?)
}

/// Whose bundles the image says are taken.
pub(super) fn trust(config: &Config) -> Result<Trust> {
    let bytes = fs::read(&config.certificates).map_err(io("read", &config.certificates))?;
    let clock = match config.certificate_time {
        CertificateTime::Ignore => Clock::Unknown,
        CertificateTime::Check => Clock::At(
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |time| time.as_secs()),
        ),
    };
    Ok(Trust::new(&bytes, clock)?)
}

/// The lowest version that this device may run, if there is one.
pub(super) fn minimum_version() -> Option<String> {
    minimum().minimum.map(|minimum| minimum.version)
}

/// What is known of the lowest version that this device may run.
pub(super) fn minimum() -> Known {
    minimum::read(variables().as_ref(), &minimum_file())
}

/// Raises the lowest version that this device may run to what the confirmed image asks for.
pub(super) fn raise_minimum(config: &Config) -> Result<()> {
    if let Some(wanted) = &config.minimum_version {
        let running = image_version()?;
        let version = trial::new_minimum(wanted, &running);
        minimum::raise(variables().as_ref(), &minimum_file(), version)?;
    }
    Ok(())
}

fn minimum_file() -> PathBuf {
    Path::new(DIRECTORY).join(minimum::FILE)
}

/// The firmware's variables, where there are any: the directory is there on every Linux, but then empty.
fn variables() -> Option<Variables> {
    let variables = Variables::open(variables::DIRECTORY).ok()?;
    variables
        .names(GLOBAL)
        .is_ok_and(|names| !names.is_empty())
        .then_some(variables)
}

/// Asks systemd to restart the machine, and does not wait for it.
pub(super) fn restart() -> Result<()> {
    rustix::fs::sync();
    let status = Command::new("systemctl")
        .args(["--no-block", "reboot"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => bedstone_sys::machine::restart().map_err(io("restart", "the machine")),
        Err(error) => Err(io("run", "systemctl")(error)),
    }
}

/// The last lines of the journal, without those of earlier starts.
pub(super) fn journal() -> Vec<String> {
    let count = JOURNAL_LINES.to_string();
    let output = Command::new("journalctl")
        .args(["--boot", "--no-pager", "--quiet", "--output=short-iso"])
        .args(["--priority=warning", "--lines", &count])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    output
        .map(|output| {
            String::from_utf8_lossy(&output.stdout)
                .lines()
                .map(str::to_owned)
                .collect()
        })
        .unwrap_or_default()
}

fn io(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.as_ref().to_path_buf();
    move |source| Error::Io {
        action,
        path,
        source,
    }
}
