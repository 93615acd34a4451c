use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::protocol::{LINE, Source};

/// Operations that a test leads step by step.
#[derive(Clone)]
struct Script {
    /// A repair tells what comes out of here, until it says `end`.
    steps: Arc<std::sync::Mutex<Receiver<String>>>,
}

impl Operations for Script {
    fn status(&self) -> Value {
        json!({"version": 1, "result": "status"})
    }

    fn change(
        &self,
        request: &Request,
        stream: &mut dyn Read,
        tell: &mut dyn FnMut(&Value),
    ) -> Value {
        match request {
            Request::Install(install) if install.bundle == Source::Stream => {
                let mut bytes = Vec::new();
                match stream.read_to_end(&mut bytes) {
                    Ok(_) => json!({"version": 1, "result": "installed", "bytes": bytes.len()}),
                    Err(error) => json!({"version": 1, "result": error.to_string()}),
                }
            }
            Request::Repair {} => {
                for step in self.steps.lock().unwrap().iter() {
                    if step == "end" {
                        break;
                    }
                    tell(&json!({"version": 1, "progress": step}));
                }
                json!({"version": 1, "result": "repaired"})
            }
            _ => json!({"version": 1, "result": request.name()}),
        }
    }
}

struct Daemon {
    _directory: TempDir,
    path: PathBuf,
    steps: Sender<String>,
    interrupt: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
}

fn daemon(limits: Limits) -> Daemon {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let (steps, receiver) = channel();
    let script = Script {
        steps: Arc::new(std::sync::Mutex::new(receiver)),
    };
    let interrupt = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupt);
    let thread = thread::spawn(move || {
        let access = Access::of(&listener);
        serve(&listener, &script, access, &limits, &flag)
    });
    Daemon {
        _directory: directory,
        path,
        steps,
        interrupt,
        thread: Some(thread),
    }
}

impl Daemon {
    fn client(&self) -> Client {
        let stream = UnixStream::connect(&self.path).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let mut client = Client {
            reader: BufReader::new(stream),
        };
        assert_eq!(client.line()["protocol"], 1);
        client
    }

    fn step(&self, text: &str) {
        self.steps.send(text.to_owned()).unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.interrupt.store(true, Ordering::Relaxed);
        // An operation that waits ends.
        let _ = self.steps.send("end".to_owned());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap().unwrap();
        }
    }
}

struct Client {
    reader: BufReader<UnixStream>,
}

impl Client {
    fn send(&mut self, line: &str) {
        let mut stream = self.reader.get_ref();
        stream.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    fn ask(&mut self, name: &str) {
        self.send(&json!({"request": name}).to_string());
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "`{line}`");
        serde_json::from_str(&line).unwrap()
    }

    fn has_ended(&mut self) -> bool {
        matches!(self.reader.read(&mut [0; 1]), Ok(0) | Err(_))
    }
}

#[test]
fn answers_one_request_after_the_other() {
    let daemon = daemon(Limits::default());
    let mut client = daemon.client();
    client.ask("status");
    client.send("");
    client.ask("confirm");
    client.send("{\"request\": \"rollback\", \"reason\": \"x\"}");
    for result in ["status", "confirm", "rollback"] {
        assert_eq!(client.line()["result"], result);
    }
    client.send("{\"request\": \"dance\"}");
    assert_eq!(client.line()["code"], "bad-request");
    assert!(client.has_ended());
}

#[test]
fn takes_a_bundle_from_the_connection() {
    let daemon = daemon(Limits::default());
    let mut client = daemon.client();
    client.send("{\"request\": \"install\", \"bundle\": \"-\"}");
    let bytes = vec![b'x'; 3 << 20];
    let mut stream = client.reader.get_ref();
    stream.write_all(&bytes).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let result = client.line();
    assert_eq!(result["result"], "installed");
    assert_eq!(result["bytes"], bytes.len());
    assert!(client.has_ended());
}

#[test]
fn does_one_thing_at_a_time_and_tells_everybody() {
    let daemon = daemon(Limits::default());
    let mut watcher = daemon.client();
    watcher.ask("subscribe");
    assert_eq!(watcher.line()["result"], "subscribed");
    let mut first = daemon.client();
    first.ask("repair");
    assert_eq!(watcher.line()["started"], "repair");
    daemon.step("one");
    assert_eq!(first.line()["progress"], "one");
    assert_eq!(watcher.line()["progress"], "one");

    let mut second = daemon.client();
    second.ask("confirm");
    assert_eq!(second.line()["code"], "busy");
    second.ask("status");
    assert_eq!(second.line()["result"], "status");
    let mut late = daemon.client();
    late.ask("subscribe");
    assert_eq!(late.line()["operation"], "repair");

    daemon.step("end");
    for client in [&mut first, &mut watcher, &mut late] {
        assert_eq!(client.line()["result"], "repaired");
    }
    second.ask("confirm");
    assert_eq!(second.line()["result"], "confirm");
    assert_eq!(watcher.line()["started"], "confirm");
    assert_eq!(watcher.line()["result"], "confirm");
}

#[test]
fn an_operation_outlives_who_asked_for_it() {
    let daemon = daemon(Limits::default());
    let mut watcher = daemon.client();
    watcher.ask("subscribe");
    watcher.line();
    let mut client = daemon.client();
    client.ask("repair");
    assert_eq!(watcher.line()["started"], "repair");
    drop(client);
    daemon.step("one");
    daemon.step("end");
    assert_eq!(watcher.line()["progress"], "one");
    assert_eq!(watcher.line()["result"], "repaired");
}

#[test]
fn a_subscriber_that_does_not_read_is_dropped_and_holds_up_nobody() {
    let daemon = daemon(Limits {
        queue: 4,
        ..Limits::default()
    });
    let mut sleeper = daemon.client();
    sleeper.ask("subscribe");
    sleeper.line();
    let mut client = daemon.client();
    client.ask("repair");
    let long = "x".repeat(100_000);
    for _ in 0..50 {
        daemon.step(&long);
    }
    daemon.step("end");
    loop {
        let line = client.line();
        if line["result"] == "repaired" {
            break;
        }
    }
    let mut lines = 0;
    let mut line = Vec::new();
    while sleeper
        .reader
        .read_until(b'\n', &mut line)
        .is_ok_and(|read| read > 0)
    {
        lines += 1;
        line.clear();
    }
    assert!(lines < 50, "{lines} lines");
}

#[test]
fn bounds_connections_and_lines() {
    let daemon = daemon(Limits {
        connections: 2,
        patience: Duration::from_secs(1),
        ..Limits::default()
    });
    let (mut one, mut two) = (daemon.client(), daemon.client());
    let stream = UnixStream::connect(&daemon.path).unwrap();
    let mut refused = Client {
        reader: BufReader::new(stream),
    };
    assert_eq!(refused.line()["code"], "busy");
    assert!(refused.has_ended());

    one.send(&"x".repeat(LINE));
    assert_eq!(one.line()["code"], "bad-request");
    assert!(one.has_ended());
    // Who says nothing is sent away, who subscribed is not.
    assert!(two.has_ended());
    let mut subscriber = daemon.client();
    subscriber.ask("subscribe");
    subscriber.line();
    thread::sleep(Duration::from_millis(1500));
    subscriber.ask("status");
    assert_eq!(subscriber.line()["result"], "status");
}

#[test]
fn ends_when_nobody_needs_it() {
    let mut daemon = daemon(Limits {
        idle: Some(Duration::from_millis(600)),
        ..Limits::default()
    });
    let client = daemon.client();
    thread::sleep(Duration::from_millis(1200));
    assert!(!daemon.thread.as_ref().unwrap().is_finished());
    drop(client);
    daemon.thread.take().unwrap().join().unwrap().unwrap();
}
