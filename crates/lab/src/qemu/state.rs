//! A machine's memory and devices in a file: QEMU's migration stream, with the file in the place of the network.

use std::fs::File;
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::qmp::{self, Client};

/// How long QEMU may take for an answer, and for reading a state.
const LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// Stops the machine, writes its state to `file` and makes QEMU end in order, so that its drives' files are complete.
pub(crate) fn save(qmp: &mut Client, file: &File, limit: Duration) -> Result<()> {
    let begun = Instant::now();
    qmp.execute("stop", Value::Null, LIMIT)?;
    // The default is meant for networks.
    let fast = json!({ "max-bandwidth": 1_u64 << 40 });
    qmp.execute("migrate-set-parameters", fast, LIMIT)?;
    qmp.give_file("state", file.as_fd(), LIMIT)?;
    qmp.execute("migrate", json!({ "uri": "fd:state" }), LIMIT)?;
    loop {
        let answer = qmp.execute("query-migrate", Value::Null, LIMIT)?;
        match answer.get("status").and_then(Value::as_str) {
            Some("completed") => break,
            Some("failed" | "cancelled") => {
                return Err(Error::Strange {
                    program: "migrate".into(),
                    answer: answer.to_string(),
                });
            }
            _ if begun.elapsed() > limit => return Err(late(limit)),
            _ => thread::sleep(POLL),
        }
    }
    qmp.execute("quit", Value::Null, LIMIT)?;
    Ok(())
}

/// Waits until the state that the machine was started from is read, and lets the machine run.
pub(crate) fn resume(qmp: &mut Client) -> Result<()> {
    let begun = Instant::now();
    while qmp.status(LIMIT)? == "inmigrate" {
        if begun.elapsed() > LIMIT {
            return Err(late(LIMIT));
        }
        thread::sleep(POLL);
    }
    qmp.execute("cont", Value::Null, LIMIT)?;
    Ok(())
}

fn late(limit: Duration) -> Error {
    Error::Qmp(qmp::Error::Timeout {
        what: "saved state".into(),
        limit,
    })
}
