//! A terminal in raw mode, put back when dropped.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcsetattr};

/// A terminal whose keys come byte by byte, without echo and without signals, until this value is dropped.
#[derive(Debug)]
pub struct RawTerminal {
    terminal: OwnedFd,
    before: Termios,
}

impl RawTerminal {
    /// Switches `terminal` to raw mode; `None` when it is not a terminal.
    pub fn enter(terminal: &impl AsFd) -> io::Result<Option<Self>> {
        if !isatty(terminal) {
            return Ok(None);
        }
        let terminal = terminal.as_fd().try_clone_to_owned()?;
        let before = tcgetattr(&terminal)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&terminal, OptionalActions::Drain, &raw)?;
        Ok(Some(Self { terminal, before }))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.terminal, OptionalActions::Drain, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::termios::LocalModes;
    use std::fs::File;

    #[test]
    fn puts_the_terminal_back() {
        // Linux answers for the settings of a pseudo-terminal on its master side, too.
        let terminal = File::options()
            .read(true)
            .write(true)
            .open("/dev/ptmx")
            .unwrap();
        let echoes = || {
            tcgetattr(&terminal)
                .unwrap()
                .local_modes
                .contains(LocalModes::ECHO)
        };
        assert!(echoes());
        let raw = RawTerminal::enter(&terminal).unwrap().unwrap();
        assert!(!echoes());
        drop(raw);
        assert!(echoes());
    }

    #[test]
    fn leaves_a_file_alone() {
        let file = File::open("/dev/null").unwrap();
        assert!(RawTerminal::enter(&file).unwrap().is_none());
    }
}
