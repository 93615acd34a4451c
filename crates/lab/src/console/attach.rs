use std::io::Write;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::thread;

use bedstone_sys::terminal::RawTerminal;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::{Console, LOOK};
use crate::error::{Error, Result};

/// Begins a command to us, as with `qemu -nographic`.
const PREFIX: u8 = 0x01;
const HELP: &[u8] =
    b"\r\nCtrl-A x  switch the machine off\r\nCtrl-A d  leave it on and go\r\nCtrl-A Ctrl-A  send Ctrl-A\r\n";

/// Why a person left the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detached {
    /// `Ctrl-A x`: the machine shall go off.
    Quit,
    /// `Ctrl-A d`: the machine shall stay on.
    Leave,
    /// The machine went off.
    Closed,
    /// Whoever started the work asked for its end.
    Interrupted,
}

impl Console {
    /// Hands the console to a person: keys from `input` (in raw mode while this lasts, if it is a terminal), everything
    /// the machine says to `output`, until they leave or the machine goes off.
    ///
    /// An `input` that ends types nothing more. `Ctrl-A h` shows the keys.
    pub fn attach(&self, input: impl AsFd, output: &mut (dyn Write + Send)) -> Result<Detached> {
        let terminal = |action| move |errno: Errno| Error::io(action, "terminal")(errno.into());
        let raw = RawTerminal::enter(&input).map_err(Error::io("set up", "terminal"))?;
        let (help, helps) = std::sync::mpsc::channel::<()>();
        let done = AtomicBool::new(false);
        let heard = self.listen();
        let leaving = &done;
        thread::scope(|scope| {
            let writer = scope.spawn(move || {
                let mut show = |bytes: &[u8]| {
                    output
                        .write_all(bytes)
                        .and_then(|()| output.flush())
                        .map_err(Error::io("write to", "terminal"))
                };
                while !leaving.load(Ordering::Relaxed) {
                    if helps.try_recv().is_ok() {
                        show(HELP)?;
                    }
                    match heard.recv_timeout(LOOK) {
                        Ok(bytes) => show(&bytes)?,
                        Err(RecvTimeoutError::Timeout) => {}
                        Err(RecvTimeoutError::Disconnected) => break,
                    }
                }
                Ok(())
            });
            let mut keys = Keys::default();
            let mut open = true;
            let result = loop {
                if self.is_closed() {
                    break Ok(Detached::Closed);
                }
                if self.is_interrupted() {
                    break Ok(Detached::Interrupted);
                }
                if writer.is_finished() && !self.is_closed() {
                    break Ok(Detached::Leave);
                }
                if !open {
                    thread::sleep(LOOK);
                    continue;
                }
                match read_keys(&input) {
                    Ok(None) => {}
                    Ok(Some(bytes)) => {
                        open = !bytes.is_empty();
                        let (typed, wish) = keys.push(&bytes);
                        match self.send(&typed) {
                            Err(Error::Closed { .. }) => break Ok(Detached::Closed),
                            Err(error) => break Err(error),
                            Ok(()) => {}
                        }
                        match wish {
                            Some(Wish::Help) => drop(help.send(())),
                            Some(Wish::Quit) => break Ok(Detached::Quit),
                            Some(Wish::Leave) => break Ok(Detached::Leave),
                            None => {}
                        }
                    }
                    Err(errno) => break Err(terminal("read")(errno)),
                }
            };
            done.store(true, Ordering::Relaxed);
            let written = writer.join().unwrap_or(Ok(()));
            drop(raw);
            result.and_then(|detached| written.map(|()| detached))
        })
    }
}

/// Reads what was typed; `None` when nothing was for a moment, empty at the end of the input.
fn read_keys(input: &impl AsFd) -> rustix::io::Result<Option<Vec<u8>>> {
    let mut descriptors = [PollFd::new(input, PollFlags::IN)];
    let wait = Timespec {
        tv_sec: 0,
        tv_nsec: i64::from(LOOK.subsec_nanos()),
    };
    match poll(&mut descriptors, Some(&wait)) {
        Ok(0) | Err(Errno::INTR) => return Ok(None),
        Ok(_) => {}
        Err(errno) => return Err(errno),
    }
    let mut buffer = [0; 1024];
    match rustix::io::read(input, &mut buffer) {
        Ok(length) => Ok(Some(buffer[..length].to_vec())),
        Err(Errno::INTR | Errno::AGAIN) => Ok(None),
        // A terminal whose other side is gone.
        Err(Errno::IO) => Ok(Some(Vec::new())),
        Err(errno) => Err(errno),
    }
}

/// What the person wants of us rather than of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Help,
    Quit,
    Leave,
}

/// Tells keys for the machine from keys for us.
#[derive(Debug, Default)]
struct Keys {
    prefixed: bool,
}

impl Keys {
    /// The bytes for the machine, and the wish that ends them, if there is one.
    fn push(&mut self, bytes: &[u8]) -> (Vec<u8>, Option<Wish>) {
        let mut typed = Vec::new();
        let mut wish = None;
        for &byte in bytes {
            if !self.prefixed {
                match byte {
                    PREFIX => self.prefixed = true,
                    _ => typed.push(byte),
                }
                continue;
            }
            self.prefixed = false;
            match byte {
                b'x' => return (typed, Some(Wish::Quit)),
                b'd' => return (typed, Some(Wish::Leave)),
                b'h' | b'?' => wish = Some(Wish::Help),
                PREFIX => typed.push(PREFIX),
                other => typed.extend([PREFIX, other]),
            }
        }
        (typed, wish)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_keys_apart() {
        let mut keys = Keys::default();
        assert_eq!(keys.push(b"ls\r\x01"), (b"ls\r".to_vec(), None));
        assert_eq!(keys.push(b"h"), (vec![], Some(Wish::Help)));
        assert_eq!(keys.push(b"\x01\x01b"), (b"\x01b".to_vec(), None));
        assert_eq!(keys.push(b"a\x01xb"), (b"a".to_vec(), Some(Wish::Quit)));
        assert_eq!(keys.push(b"\x01d"), (vec![], Some(Wish::Leave)));
    }
}
