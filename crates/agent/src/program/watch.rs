//! Shows what the daemon's operations come to.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bedstone_agent::protocol::{self, Request};
use bedstone_agent::{Error, Result};
use serde_json::Value;

use super::machine;
use super::progress::{Display, Event};
use super::show::Reply;

/// How often Ctrl-C is looked for.
const TICK: Duration = Duration::from_millis(200);
/// Longest line that is taken from the daemon, in bytes.
const LINE: u64 = 1 << 20;

/// Subscribes, and shows every line until the daemon ends the connection or Ctrl-C.
pub(super) fn follow(path: &Path, json: bool) -> Result<Reply> {
    let failed = |action| {
        let path = path.to_path_buf();
        move |source| Error::Io {
            action,
            path,
            source,
        }
    };
    let interrupt = machine::interrupt()?;
    let stream = UnixStream::connect(path).map_err(failed("connect to"))?;
    stream
        .set_read_timeout(Some(TICK))
        .map_err(failed("set up"))?;
    let mut request = serde_json::to_vec(&Request::Subscribe {}).unwrap_or_default();
    request.push(b'\n');
    (&stream).write_all(&request).map_err(failed("write to"))?;

    let mut reader = BufReader::new(&stream);
    let mut display = Display::new(json);
    let mut line = Vec::new();
    let mut greeted = false;
    while !interrupt.load(Ordering::Relaxed) {
        let left = LINE.saturating_sub(line.len() as u64);
        match std::io::Read::take(&mut reader, left).read_until(b'\n', &mut line) {
            Ok(0) => break,
            Ok(_) if line.last() != Some(&b'\n') => continue,
            Ok(_) => {}
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) =>
            {
                continue;
            }
            Err(error) => return Err(failed("read from")(error)),
        }
        let value: Value = serde_json::from_slice(&line).map_err(|error| Error::Malformed {
            path: path.to_path_buf(),
            reason: error.to_string(),
        })?;
        line.clear();
        if !greeted && value["protocol"] != protocol::VERSION {
            return Err(Error::Malformed {
                path: path.to_path_buf(),
                reason: format!(
                    "protocol {} is not {}",
                    value["protocol"],
                    protocol::VERSION
                ),
            });
        }
        greeted = true;
        show(&value, json, &mut display);
    }
    display.end();
    Ok(Reply::Silent)
}

fn show(value: &Value, json: bool, display: &mut Display) {
    if json {
        println!("{value}");
    } else if let Some(event) = Event::parse(value) {
        display.show(&event);
    } else if let Some(text) = text(value) {
        display.say(&text);
    }
}

/// A line that is no progress, for people; nothing where there is nothing to say.
fn text(value: &Value) -> Option<String> {
    if let Some(operation) = value["started"].as_str() {
        return Some(format!("== {operation}"));
    }
    match value["result"].as_str()? {
        "subscribed" => Some(match value["operation"].as_str() {
            Some(operation) => format!("== {operation}, under way"),
            None => "Nothing is under way; Ctrl-C ends this".to_owned(),
        }),
        "refused" | "failed" => Some(format!(
            "error: {}",
            value["reason"].as_str().unwrap_or("no reason is told")
        )),
        other => Some(match Reply::parse(value) {
            Some(reply) => reply.text(),
            None => other.to_owned(),
        }),
    }
}
