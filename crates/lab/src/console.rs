//! A serial console: everything it says is read at once, logged with times, searched and measured.
//!
//! - [`Console`]: the connection; expects texts, sends lines, logs in ([`Console::login`]), runs commands
//!   ([`Console::run`]) and is handed to a person ([`Console::attach`]).
//! - [`Pattern`], [`Match`]: what to look for, what was found.
//! - [`Transcript`], [`Stripper`]: the bounded text without terminal control.
//! - [`Boot`], [`Milestone`]: when a boot reached what.

mod attach;
mod command;
mod milestones;
mod pattern;
mod strip;
mod transcript;

pub use attach::Detached;
pub use command::Output;
pub use milestones::{Boot, Milestone, Milestones};
pub use pattern::{Found, Pattern};
pub use strip::Stripper;
pub use transcript::Transcript;

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// How much text is kept, in bytes; also bounds what [`Console::run`] can bring back.
const CAPACITY: usize = 8 << 20;
/// How often a waiting thread looks whether it was interrupted.
const LOOK: Duration = Duration::from_millis(100);
/// How many lines an error message shows.
const TAIL: usize = 15;

/// A connection to a serial console.
#[derive(Debug)]
pub struct Console {
    stream: UnixStream,
    shared: Arc<Shared>,
    reader: Option<JoinHandle<()>>,
    origin: Instant,
    interrupt: Option<Arc<AtomicBool>>,
    commands: u64,
}

/// What [`Console::expect`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// Which alternative of the pattern, from 0.
    pub alternative: usize,
    /// The text that matched.
    pub text: String,
    /// What each `*` of a glob stood for.
    pub captures: Vec<String>,
    /// The text between the previous match and this one.
    pub before: String,
    /// When it was found, from power on.
    pub at: Duration,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    transcript: Transcript,
    milestones: Milestones,
    listeners: Vec<Sender<Vec<u8>>>,
    closed: bool,
    log_failure: Option<Error>,
}

impl Console {
    /// Takes over a connection to a machine that went on at `origin`.
    ///
    /// Its text is appended to the file `log`, each line with the seconds from `origin`. Waiting ends early once `interrupt`
    /// is true.
    pub fn new(
        stream: UnixStream,
        origin: Instant,
        log: Option<&Path>,
        interrupt: Option<Arc<AtomicBool>>,
    ) -> Result<Self> {
        let log = log.map(Log::open).transpose()?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                transcript: Transcript::new(CAPACITY),
                milestones: Milestones::default(),
                listeners: Vec::new(),
                closed: false,
                log_failure: None,
            }),
            changed: Condvar::new(),
        });
        let console = |source| Error::io("connect", "console")(source);
        let input = stream.try_clone().map_err(console)?;
        let reader = thread::Builder::new()
            .name("console".into())
            .spawn({
                let shared = Arc::clone(&shared);
                move || read(input, &shared, origin, log)
            })
            .map_err(console)?;
        Ok(Self {
            stream,
            shared,
            reader: Some(reader),
            origin,
            interrupt,
            commands: 0,
        })
    }

    /// Waits at most `limit` for `pattern` in the text after the previous match.
    ///
    /// # Errors
    /// [`Error::Timeout`], [`Error::Closed`] when the machine goes off first, [`Error::Interrupted`].
    pub fn expect(&self, pattern: impl Into<Pattern>, limit: Duration) -> Result<Match> {
        let pattern = pattern.into();
        let mut resume = 0;
        let what = pattern.to_string();
        self.wait(&what, limit, |transcript| {
            transcript.find(&pattern, &mut resume)
        })
        .map(|(found, before, text)| Match {
            alternative: found.alternative,
            text,
            captures: found.captures,
            before,
            at: self.origin.elapsed(),
        })
    }

    /// The next whole line of the console, if it comes within `limit`.
    pub fn next_line(&self, limit: Duration) -> Result<String> {
        self.wait("a line", limit, Transcript::next_line)
    }

    /// Types `text` and the return key.
    pub fn send_line(&self, text: &str) -> Result<()> {
        self.send(format!("{text}\r").as_bytes())
    }

    /// Types `bytes`.
    pub fn send(&self, bytes: &[u8]) -> Result<()> {
        (&self.stream)
            .write_all(bytes)
            .map_err(|source| match source.kind() {
                ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => Error::Closed {
                    what: "typed text".into(),
                    tail: self.tail(),
                },
                _ => Error::io("write to", "console")(source),
            })
    }

    /// The boots so far with their milestones, the current one last.
    pub fn boots(&self) -> Vec<Boot> {
        self.shared.lock().milestones.boots().to_vec()
    }

    /// A handle for whoever learns of resets.
    pub fn resets(&self) -> Resets {
        Resets {
            shared: Arc::clone(&self.shared),
            origin: self.origin,
        }
    }

    /// The last lines, for messages.
    pub fn tail(&self) -> String {
        self.shared.lock().transcript.tail(TAIL)
    }

    /// Whether the machine closed the connection, which it does when it goes off.
    pub fn is_closed(&self) -> bool {
        self.shared.lock().closed
    }

    /// All bytes from now on, as they come, with their terminal control.
    pub fn listen(&self) -> Receiver<Vec<u8>> {
        let (sender, receiver) = channel();
        self.shared.lock().listeners.push(sender);
        receiver
    }

    /// Waits until `take` finds something in the transcript.
    fn wait<T>(
        &self,
        what: &str,
        limit: Duration,
        mut take: impl FnMut(&mut Transcript) -> Option<T>,
    ) -> Result<T> {
        let begun = Instant::now();
        let mut state = self.shared.lock();
        loop {
            if let Some(failure) = state.log_failure.take() {
                return Err(failure);
            }
            if let Some(found) = take(&mut state.transcript) {
                return Ok(found);
            }
            if state.closed {
                return Err(Error::Closed {
                    what: what.to_owned(),
                    tail: state.transcript.tail(TAIL),
                });
            }
            if self.is_interrupted() {
                return Err(Error::Interrupted(what.to_owned()));
            }
            let left = limit.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Err(Error::Timeout {
                    what: what.to_owned(),
                    limit,
                    tail: state.transcript.tail(TAIL),
                });
            }
            state = self
                .shared
                .changed
                .wait_timeout(state, left.min(LOOK))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn is_interrupted(&self) -> bool {
        self.interrupt
            .as_ref()
            .is_some_and(|flag| flag.load(Ordering::Relaxed))
    }
}

/// Tells a console that its machine was reset, which is seen elsewhere.
#[derive(Debug)]
pub struct Resets {
    shared: Arc<Shared>,
    origin: Instant,
}

impl Resets {
    /// The machine was reset now: a new boot begins.
    pub fn mark(&self) {
        let at = self.origin.elapsed();
        self.shared.lock().milestones.reset(at);
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads until the connection ends; never waits for anybody, because the guest waits for a full serial port.
fn read(mut stream: UnixStream, shared: &Shared, origin: Instant, mut log: Option<Log>) {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let length = match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        let at = origin.elapsed();
        let bytes = &buffer[..length];
        let mut state = shared.lock();
        let State {
            transcript,
            milestones,
            listeners,
            ..
        } = &mut *state;
        let text = transcript.push(bytes);
        milestones.push(text, at);
        listeners.retain(|listener| listener.send(bytes.to_vec()).is_ok());
        let failure = log.as_mut().and_then(|log| log.write(text, at).err());
        if failure.is_some() {
            state.log_failure = failure;
            log = None;
        }
        drop(state);
        shared.changed.notify_all();
    }
    let mut state = shared.lock();
    state.closed = true;
    // Ends the loops of whoever listens.
    state.listeners.clear();
    drop(state);
    shared.changed.notify_all();
}

/// The log file: `[   12.345] text`, with the time at which a line began.
#[derive(Debug)]
struct Log {
    file: File,
    path: PathBuf,
    line_begins: bool,
}

impl Log {
    fn open(path: &Path) -> Result<Self> {
        let file = File::options()
            .append(true)
            .create(true)
            .open(path)
            .map_err(Error::io("open", path))?;
        Ok(Self {
            file,
            path: path.to_path_buf(),
            line_begins: true,
        })
    }

    fn write(&mut self, text: &[u8], at: Duration) -> Result<()> {
        let mut out = Vec::with_capacity(text.len() + 64);
        for piece in text.split_inclusive(|byte| *byte == b'\n') {
            if self.line_begins {
                out.extend_from_slice(format!("[{:9.3}] ", at.as_secs_f64()).as_bytes());
            }
            out.extend_from_slice(piece);
            self.line_begins = piece.ends_with(b"\n");
        }
        self.file
            .write_all(&out)
            .map_err(Error::io("write", &self.path))
    }
}

#[cfg(test)]
mod tests;
