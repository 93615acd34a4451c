//! The QEMU Machine Protocol: one JSON object per line over a Unix socket (QEMU, `docs/interop/qmp-spec.txt`).
//!
//! - [`Message`], [`Framer`]: what comes over the socket, as pure functions over bytes.
//! - [`Client`]: commands with a deadline, and the events in the order in which they came.

mod client;
mod message;

pub use client::{Client, Event};
pub use message::{Framer, Message};

use std::time::Duration;

/// What can go wrong on the monitor connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The connection failed.
    #[error("connection failed")]
    Io(#[from] std::io::Error),
    /// The other side closed the connection.
    #[error("QEMU closed the connection while `{0}` was waited for")]
    Closed(String),
    /// No answer in time.
    #[error("`{what}` did not come within {:.1} s", limit.as_secs_f64())]
    Timeout {
        /// The command or event.
        what: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// QEMU refused a command.
    #[error("`{command}` refused ({class}): {description}")]
    Refused {
        /// The command.
        command: String,
        /// QEMU's class of error, most often `GenericError`.
        class: String,
        /// QEMU's reason, for people.
        description: String,
    },
    /// A line is longer than anything QEMU says.
    #[error("a line is longer than {0} bytes")]
    TooLong(usize),
    /// A line is not JSON.
    #[error("a line is not JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A line is JSON but no message of the protocol.
    #[error("a line is no message of the protocol: `{0}`")]
    Strange(String),
}
