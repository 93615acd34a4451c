//! Programs of the verified root file system, run in it: `mke2fs`, `e2fsck`, `cryptsetup`.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use crate::error::{Error, Result};
use crate::root;

/// The name under which this program starts itself to change the root directory and become the tool.
pub(crate) const NAME: &str = "bedstone-tool";

/// How a tool ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its exit status; nothing when a signal ended it.
    pub(crate) status: Option<i32>,
    /// What it said last, on either output.
    pub(crate) last_line: String,
}

/// Runs `program` in the verified root; returns how it ended.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Result<Ended> {
    let output = Command::new("/proc/self/exe")
        .arg0(NAME)
        .arg(program)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C")
        // No udev runs yet: libdevmapper must not wait for it, and makes the device files itself.
        .env("DM_DISABLE_UDEV", "1")
        .stdin(Stdio::null())
        .output()
        .map_err(Error::io("run", program))?;
    let line = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let last = text.lines().rev().find(|line| !line.trim().is_empty());
        last.map(|line| line.trim().to_owned())
    };
    Ok(Ended {
        status: output.status.code(),
        last_line: line(&output.stderr)
            .or_else(|| line(&output.stdout))
            .unwrap_or_default(),
    })
}

/// Runs `program` and fails unless it succeeds.
pub(crate) fn succeed(program: &str, arguments: &[&str]) -> Result<()> {
    let ended = run(program, arguments)?;
    if ended.status == Some(0) {
        return Ok(());
    }
    Err(ended.error(program))
}

impl Ended {
    pub(crate) fn error(&self, program: &str) -> Error {
        let outcome = match self.status {
            Some(status) => format!("ended with status {status}: {}", self.last_line),
            None => format!("was ended by a signal: {}", self.last_line),
        };
        Error::Tool {
            program: program.to_owned(),
            outcome,
        }
    }
}

/// What the process does that [`run`] starts: it becomes the tool.
pub(crate) fn main(mut arguments: impl Iterator<Item = OsString>) {
    let Some(program) = arguments.next() else {
        return;
    };
    let entered = rustix::process::chroot(root::MOUNTED).and_then(|()| rustix::process::chdir("/"));
    let error = match entered {
        Ok(()) => Command::new(&program).args(arguments).exec(),
        Err(error) => error.into(),
    };
    // Read by `run` as the last line.
    let text = format!("cannot run `{}`: {error}\n", program.display());
    let _ = rustix::io::write(rustix::stdio::stderr(), text.as_bytes());
    std::process::abort();
}
