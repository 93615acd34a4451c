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
    /// What it said last on its standard error, or else on its standard output: up to three lines, joined.
    pub(crate) said: String,
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
    let said = [&output.stderr, &output.stdout].map(|bytes| last_lines(bytes));
    Ok(Ended {
        status: output.status.code(),
        said: said
            .into_iter()
            .find(|text| !text.is_empty())
            .unwrap_or_default(),
    })
}

/// The last three lines that are not blank.
fn last_lines(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut last: Vec<&str> = lines.rev().take(3).collect();
    last.reverse();
    last.join("; ")
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
            Some(status) => format!("ended with status {status}: {}", self.said),
            None => format!("was ended by a signal: {}", self.said),
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
    // Read by `run`.
    let text = format!("cannot run `{}`: {error}\n", program.display());
    let _ = rustix::io::write(rustix::stdio::stderr(), text.as_bytes());
    std::process::abort();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_was_said_last() {
        let said = last_lines(b"one\n\n two \nthree\n\tfour\n\n");
        assert_eq!(said, "two; three; four");
        assert_eq!(last_lines(b"\n"), "");
        let ended = Ended {
            status: Some(4),
            said,
        };
        let text = ended.error("e2fsck -p").to_string();
        assert_eq!(text, "`e2fsck -p` ended with status 4: two; three; four");
    }
}
