use std::io::{BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use serde_json::{Value, json};

use super::audience::{Audience, Line, text};
use super::{Access, Limits, Operations};
use crate::protocol::{Install, Request, Source, VERSION, Wrong};

/// Serves one client, to the end of its connection.
pub(super) fn serve(
    stream: &UnixStream,
    audience: &Audience,
    operations: &impl Operations,
    access: Access,
    limits: &Limits,
) {
    // A connection that fails ends; there is nobody to tell.
    let _ = attend(stream, audience, operations, access, limits);
    let _ = stream.shutdown(Shutdown::Both);
}

fn attend(
    stream: &UnixStream,
    audience: &Audience,
    operations: &impl Operations,
    access: Access,
    limits: &Limits,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(limits.patience))?;
    stream.set_write_timeout(Some(limits.patience))?;
    let refuse = |code: &str, reason: &str| {
        let line = refusal("failed", code, reason);
        (&*stream).write_all(text(&line).as_bytes())
    };
    let Some(role) = access.role(stream) else {
        return refuse(
            "forbidden",
            "only root and the socket's group may ask for something",
        );
    };
    let (lines, queue) = sync_channel(limits.queue);
    let Some(number) = audience.join(lines.clone(), stream.try_clone()?, limits.connections) else {
        return refuse("busy", "there are too many connections");
    };
    let client = Client {
        number,
        role,
        lines,
        audience,
        stream,
    };
    thread::scope(|scope| {
        scope.spawn(move || write(stream, queue));
        client.answer(operations);
        audience.leave(number);
        // Nobody can add a line now, so the writer ends after the last one.
        drop(client);
    });
    Ok(())
}

/// Writes lines until there are no more to come, or the client takes none.
fn write(mut stream: &UnixStream, queue: Receiver<Line>) {
    for line in queue {
        if stream.write_all(line.as_bytes()).is_err() {
            // The reader ends with it.
            let _ = stream.shutdown(Shutdown::Both);
            return;
        }
    }
}

struct Client<'a> {
    number: u64,
    role: super::access::Role,
    lines: SyncSender<Line>,
    audience: &'a Audience,
    stream: &'a UnixStream,
}

impl Client<'_> {
    /// Greets, and answers every request.
    fn answer(&self, operations: &impl Operations) {
        self.say(&json!({
            "protocol": VERSION,
            "agent": env!("CARGO_PKG_VERSION"),
            "operation": self.audience.operation(),
        }));
        let mut reader = BufReader::with_capacity(64 << 10, self.stream);
        loop {
            let request = match Request::read(&mut reader) {
                Ok(Some(request)) => request,
                // Also when it said nothing for too long.
                Ok(None) | Err(Wrong::Io(_)) => return,
                Err(wrong) => {
                    self.say(&refusal("refused", "bad-request", &wrong.to_string()));
                    return;
                }
            };
            match &request {
                _ if !self.role.may(&request) => {
                    self.say(&refusal(
                        "refused",
                        "forbidden",
                        "files are opened for root only: send the bundle, or its http:// address",
                    ));
                    return;
                }
                Request::Status {} => self.say(&operations.status()),
                Request::Subscribe {} => {
                    let operation = self.audience.subscribe(self.number);
                    self.say(
                        &json!({"version": 1, "result": "subscribed", "operation": operation}),
                    );
                    if self.stream.set_read_timeout(None).is_err() {
                        return;
                    }
                }
                change => {
                    let name = change.name();
                    let started = json!({"version": 1, "started": name});
                    if let Err(other) = self.audience.begin(name, &started) {
                        let reason = format!("the operation `{other}` is under way");
                        self.say(&refusal("failed", "busy", &reason));
                    } else {
                        let mut tell = |line: &Value| self.audience.tell(line, self.number);
                        let result = operations.change(change, &mut reader, &mut tell);
                        self.audience.end(&result, self.number);
                        self.say(&result);
                    }
                    // What follows on the connection was a bundle.
                    let streamed = matches!(
                        change,
                        Request::Install(Install {
                            bundle: Source::Stream,
                            ..
                        })
                    );
                    if streamed {
                        return;
                    }
                }
            }
        }
    }

    /// Queues a line that the client is owed. The writer gives up a client that takes nothing, and so does this.
    fn say(&self, line: &Value) {
        let _ = self.lines.send(text(line));
    }
}

fn refusal(result: &str, code: &str, reason: &str) -> Value {
    json!({"version": 1, "result": result, "code": code, "reason": reason})
}
