use std::collections::VecDeque;
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::{Map, Value, json};

use super::{Error, Framer, Message};

/// How many events are kept for readers; the oldest go first.
const EVENTS: usize = 4096;

/// Something that happened in the machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The event's name: `RESET`, `SHUTDOWN`, `WATCHDOG`, `STOP`, …
    pub name: String,
    /// What it carries.
    pub data: Map<String, Value>,
    /// When it came, from the start of the connection.
    pub at: Duration,
}

impl Event {
    /// Why a `RESET` or `SHUTDOWN` came about: `guest-reset`, `host-qmp-system-reset`, `guest-shutdown`, …
    pub fn reason(&self) -> Option<&str> {
        self.data.get("reason").and_then(Value::as_str)
    }
}

/// A monitor connection.
///
/// A thread of its own reads, so that QEMU is never held up. Commands come from one thread at a time.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    shared: Arc<Shared>,
    reader: Option<JoinHandle<()>>,
    next: u64,
    version: [u64; 3],
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    greeting: Option<[u64; 3]>,
    answers: Vec<Message>,
    events: VecDeque<Event>,
    ended: bool,
    failure: Option<Error>,
}

impl Client {
    /// Reads the greeting and leaves capability negotiation, within `limit`.
    ///
    /// `observe` sees each event as it comes, in the thread that reads, beside whoever takes events from here.
    pub fn connect(
        stream: UnixStream,
        limit: Duration,
        observe: impl Fn(&Event) + Send + 'static,
    ) -> Result<Self, Error> {
        let shared = Arc::new(Shared::default());
        let input = stream.try_clone()?;
        let reader = thread::Builder::new().name("qmp".into()).spawn({
            let shared = Arc::clone(&shared);
            move || read(input, &shared, &observe)
        })?;
        let mut client = Self {
            stream,
            shared,
            reader: Some(reader),
            next: 0,
            version: [0; 3],
        };
        client.version = client.wait("greeting", limit, |state| state.greeting)?;
        client.execute("qmp_capabilities", Value::Null, limit)?;
        Ok(client)
    }

    /// QEMU's version: major, minor, micro.
    pub fn version(&self) -> [u64; 3] {
        self.version
    }

    /// Runs one command. `arguments` is an object, or null where the command takes none.
    pub fn execute(
        &mut self,
        command: &str,
        arguments: Value,
        limit: Duration,
    ) -> Result<Value, Error> {
        let (id, line) = self.request(command, arguments);
        self.stream.write_all(&line)?;
        self.answer(command, id, limit)
    }

    /// Gives QEMU an open file under `name`, for commands that take `fd:NAME` (`getfd`).
    pub fn give_file(
        &mut self,
        name: &str,
        file: BorrowedFd<'_>,
        limit: Duration,
    ) -> Result<(), Error> {
        let (id, line) = self.request("getfd", json!({ "fdname": name }));
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let files = [file];
        control.push(SendAncillaryMessage::ScmRights(&files));
        let sent = sendmsg(
            &self.stream,
            &[IoSlice::new(&line)],
            &mut control,
            SendFlags::NOSIGNAL,
        )
        .map_err(std::io::Error::from)?;
        self.stream
            .write_all(line.get(sent..).unwrap_or_default())?;
        self.answer("getfd", id, limit).map(drop)
    }

    /// Runs a command of the human monitor and gives what it prints.
    pub fn human(&mut self, line: &str, limit: Duration) -> Result<String, Error> {
        let value = self.execute(
            "human-monitor-command",
            json!({ "command-line": line }),
            limit,
        )?;
        match value {
            Value::String(text) => Ok(text),
            other => Err(Error::Strange(other.to_string())),
        }
    }

    /// The machine's run state: `running`, `paused`, `shutdown`, `inmigrate`, …
    pub fn status(&mut self, limit: Duration) -> Result<String, Error> {
        let value = self.execute("query-status", Value::Null, limit)?;
        match value.get("status").and_then(Value::as_str) {
            Some(status) => Ok(status.to_owned()),
            None => Err(Error::Strange(value.to_string())),
        }
    }

    /// Saves memory, devices and disks under `tag` in the machine's qcow2 files (`savevm`).
    pub fn save_snapshot(&mut self, tag: &str, limit: Duration) -> Result<(), Error> {
        self.quiet_human("savevm", tag, limit)
    }

    /// Goes back to what [`Client::save_snapshot`] saved under `tag`. Where that fails the machine stands still, because it
    /// may be half the one and half the other.
    pub fn load_snapshot(&mut self, tag: &str, limit: Duration) -> Result<(), Error> {
        self.quiet_human("loadvm", tag, limit)
    }

    /// These commands print nothing when they succeed, and their error otherwise.
    fn quiet_human(&mut self, command: &str, tag: &str, limit: Duration) -> Result<(), Error> {
        let text = self.human(&format!("{command} {tag}"), limit)?;
        if text.trim().is_empty() {
            return Ok(());
        }
        Err(Error::Refused {
            command: command.to_owned(),
            class: "HumanMonitor".to_owned(),
            description: text.trim().to_owned(),
        })
    }

    /// The next event that `wanted` takes, within `limit`. Events before it are dropped.
    pub fn wait_event(
        &self,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&Event) -> bool,
    ) -> Result<Event, Error> {
        self.wait(what, limit, |state| {
            while let Some(event) = state.events.pop_front() {
                if wanted(&event) {
                    return Some(event);
                }
            }
            None
        })
    }

    /// Takes the events that came since the last look, oldest first.
    pub fn take_events(&self) -> Vec<Event> {
        self.shared.lock().events.drain(..).collect()
    }

    /// Whether QEMU closed the connection, which it does when it ends.
    pub fn is_closed(&self) -> bool {
        self.shared.lock().ended
    }

    fn request(&mut self, command: &str, arguments: Value) -> (u64, Vec<u8>) {
        self.next += 1;
        let mut request = json!({ "execute": command, "id": self.next });
        if !arguments.is_null() {
            request["arguments"] = arguments;
        }
        let mut line = request.to_string().into_bytes();
        line.push(b'\n');
        (self.next, line)
    }

    fn answer(&self, command: &str, id: u64, limit: Duration) -> Result<Value, Error> {
        let answer = self.wait(command, limit, |state| {
            // An answer to a command that timed out may still be there; nobody waits for it any more.
            let answers = std::mem::take(&mut state.answers);
            answers.into_iter().find(|answer| match answer {
                Message::Return { id: found, .. } => *found == Some(id),
                Message::Error { id: found, .. } => found.is_none_or(|found| found == id),
                _ => false,
            })
        })?;
        match answer {
            Message::Return { value, .. } => Ok(value),
            Message::Error {
                class, description, ..
            } => Err(Error::Refused {
                command: command.to_owned(),
                class,
                description,
            }),
            other => Err(Error::Strange(format!("{other:?}"))),
        }
    }

    fn wait<T>(
        &self,
        what: &str,
        limit: Duration,
        mut take: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<T, Error> {
        let begun = Instant::now();
        let mut state = self.shared.lock();
        loop {
            if let Some(found) = take(&mut state) {
                return Ok(found);
            }
            if let Some(failure) = state.failure.take() {
                return Err(failure);
            }
            if state.ended {
                return Err(Error::Closed(what.to_owned()));
            }
            let left = limit.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Err(Error::Timeout {
                    what: what.to_owned(),
                    limit,
                });
            }
            state = self
                .shared
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

impl Drop for Client {
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

fn read(mut stream: UnixStream, shared: &Shared, observe: &dyn Fn(&Event)) {
    let begun = Instant::now();
    let mut framer = Framer::default();
    let mut buffer = vec![0; 1 << 16];
    let failure = loop {
        let length = match stream.read(&mut buffer) {
            Ok(0) => break None,
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break None,
            Err(error) => break Some(Error::Io(error)),
        };
        let messages = framer
            .push(&buffer[..length])
            .and_then(|lines| lines.iter().map(|line| Message::parse(line)).collect());
        let messages: Vec<Message> = match messages {
            Ok(messages) => messages,
            Err(error) => break Some(error),
        };
        let mut state = shared.lock();
        for message in messages {
            match message {
                Message::Greeting(version) => state.greeting = Some(version),
                Message::Event { name, data } => {
                    if state.events.len() == EVENTS {
                        state.events.pop_front();
                    }
                    let at = begun.elapsed();
                    let event = Event { name, data, at };
                    observe(&event);
                    state.events.push_back(event);
                }
                answer => state.answers.push(answer),
            }
        }
        shared.changed.notify_all();
    };
    let mut state = shared.lock();
    state.ended = true;
    state.failure = failure;
    shared.changed.notify_all();
}

#[cfg(test)]
mod tests;
