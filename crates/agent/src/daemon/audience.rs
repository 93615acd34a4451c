use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

/// A line on its way to clients.
pub(super) type Line = Arc<str>;

/// All connections, and what is being done.
#[derive(Debug, Default)]
pub(super) struct Audience {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    members: Vec<Member>,
    next: u64,
    operation: Option<&'static str>,
    dismissed: bool,
}

#[derive(Debug)]
struct Member {
    number: u64,
    lines: SyncSender<Line>,
    /// To end the connection with.
    stream: UnixStream,
    subscribed: bool,
}

impl Audience {
    /// A thread that panicked left nothing half done here.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn connections(&self) -> usize {
        self.state().members.len()
    }

    /// Takes a connection in, unless there are as many as may be; returns its number.
    pub(super) fn join(
        &self,
        lines: SyncSender<Line>,
        stream: UnixStream,
        most: usize,
    ) -> Option<u64> {
        let mut state = self.state();
        if state.dismissed || state.members.len() >= most {
            return None;
        }
        state.next += 1;
        let number = state.next;
        state.members.push(Member {
            number,
            lines,
            stream,
            subscribed: false,
        });
        Some(number)
    }

    pub(super) fn leave(&self, number: u64) {
        self.state()
            .members
            .retain(|member| member.number != number);
    }

    /// Ends every connection.
    pub(super) fn dismiss(&self) {
        let mut state = self.state();
        state.dismissed = true;
        for member in &state.members {
            // It may have ended by itself.
            let _ = member.stream.shutdown(Shutdown::Both);
        }
    }

    /// What is being done.
    pub(super) fn operation(&self) -> Option<&'static str> {
        self.state().operation
    }

    /// From now on this connection is told everything; returns what is being done.
    pub(super) fn subscribe(&self, number: u64) -> Option<&'static str> {
        let mut state = self.state();
        for member in &mut state.members {
            member.subscribed |= member.number == number;
        }
        state.operation
    }

    /// Begins an operation and says so to subscribers, unless there is one.
    pub(super) fn begin(&self, operation: &'static str, line: &Value) -> Result<(), &'static str> {
        let mut state = self.state();
        if let Some(other) = state.operation {
            return Err(other);
        }
        state.operation = Some(operation);
        state.tell(line, None);
        Ok(())
    }

    /// Says something to subscribers, and to the one who asked for it if it keeps up.
    pub(super) fn tell(&self, line: &Value, asked: u64) {
        self.state().tell(line, Some(asked));
    }

    /// Ends the operation and says what it came to, to subscribers but the one who asked, who is answered.
    pub(super) fn end(&self, line: &Value, asked: u64) {
        let mut state = self.state();
        state.operation = None;
        let line = text(line);
        state.send(&line, |member| member.subscribed && member.number != asked);
    }
}

impl State {
    fn tell(&mut self, line: &Value, asked: Option<u64>) {
        let line = text(line);
        if let Some(member) = self
            .members
            .iter()
            .find(|member| Some(member.number) == asked)
        {
            // It is owed the result only: while it sends a bundle it may read nothing.
            let _ = member.lines.try_send(Arc::clone(&line));
        }
        self.send(&line, |member| {
            member.subscribed && Some(member.number) != asked
        });
    }

    /// Sends a line to some; those who do not keep up are dropped.
    fn send(&mut self, line: &Line, to: impl Fn(&Member) -> bool) {
        for member in self.members.iter().filter(|member| to(member)) {
            if let Err(TrySendError::Full(_)) = member.lines.try_send(Arc::clone(line)) {
                let _ = member.stream.shutdown(Shutdown::Both);
            }
        }
    }
}

pub(super) fn text(line: &Value) -> Line {
    format!("{line}\n").into()
}
