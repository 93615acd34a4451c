//! What serves the socket: one operation at a time, told to everybody who wants to know.
//!
//! No client can hold up another or an operation: lines wait in a bounded queue for each, and a subscriber that does not read
//! is dropped. What a line says is [`crate::protocol`]'s, what an operation does is [`Operations`]'.

mod access;
mod audience;
mod connection;
#[cfg(test)]
mod tests;

use std::io::{ErrorKind, Read};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::protocol::Request;
pub use access::Access;
use audience::Audience;

/// How often the daemon looks whether it is to end.
const TICK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 200_000_000,
};

/// What is done for clients.
pub trait Operations: Sync {
    /// The line that answers a request for the state.
    fn status(&self) -> Value;

    /// Does what a request asks for, one at a time, and returns the line that says what it came to. `stream` is what the
    /// client sends behind its request.
    fn change(
        &self,
        request: &Request,
        stream: &mut dyn Read,
        tell: &mut dyn FnMut(&Value),
    ) -> Value;
}

/// What clients can take up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time.
    pub connections: usize,
    /// Lines that wait for a client.
    pub queue: usize,
    /// For a client's next bytes, unless it subscribed, and for it to take a line.
    pub patience: Duration,
    /// Without a connection before the daemon ends; `None`: it stays.
    pub idle: Option<Duration>,
}

impl Default for Limits {
    /// 16 connections, 64 lines, 30 s; it stays.
    fn default() -> Self {
        Self {
            connections: 16,
            queue: 64,
            patience: Duration::from_secs(30),
            idle: None,
        }
    }
}

/// Serves until `interrupt` is set or nobody was there for as long as `limits` say.
///
/// An operation that is under way then has to end by itself: it is given the same `interrupt`.
pub fn serve(
    listener: &UnixListener,
    operations: &impl Operations,
    access: Access,
    limits: &Limits,
    interrupt: &AtomicBool,
) -> Result<()> {
    let socket_error = Error::io("listen on", "the socket");
    if let Err(error) = listener.set_nonblocking(true) {
        return Err(socket_error(error));
    }
    let audience = Audience::default();
    let outcome = thread::scope(|scope| {
        let mut last_busy = Instant::now();
        let outcome = loop {
            if interrupt.load(Ordering::Relaxed) {
                break Ok(());
            }
            if audience.connections() > 0 {
                last_busy = Instant::now();
            }
            match accept(listener) {
                Ok(Some(stream)) => {
                    last_busy = Instant::now();
                    let audience = &audience;
                    let serve = move || {
                        connection::serve(&stream, audience, operations, access, limits);
                    };
                    // Without a thread the connection is closed, and the client told so by that.
                    let _ = thread::Builder::new().spawn_scoped(scope, serve);
                }
                Ok(None) if limits.idle.is_some_and(|idle| last_busy.elapsed() >= idle) => {
                    break Ok(());
                }
                Ok(None) => {}
                Err(error) => break Err(error),
            }
        };
        audience.dismiss();
        outcome
    });
    outcome.map_err(socket_error)
}

/// The next connection, if one comes soon.
fn accept(listener: &UnixListener) -> std::io::Result<Option<UnixStream>> {
    let mut ready = [PollFd::new(listener, PollFlags::IN)];
    match poll(&mut ready, Some(&TICK)) {
        Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(None),
        Ok(_) => {}
        Err(error) => return Err(error.into()),
    }
    match listener.accept() {
        Ok((stream, _)) => {
            stream.set_nonblocking(false)?;
            Ok(Some(stream))
        }
        // It went away, or there are no descriptors left for now.
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(_) => {
            thread::sleep(Duration::from_millis(200));
            Ok(None)
        }
    }
}
