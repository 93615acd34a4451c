//! Ctrl-C: exit code 130, nothing half done, and the next run goes on from there to the same image.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use bedstone_tests::program::{Outcome, Workshop, downloads, files};
use bedstone_tests::repository::Repository;
use rustix::process::{Pid, Signal};
use serde_json::Value;

const INTERRUPTED: i32 = 130;

/// Sends what Ctrl-C sends.
fn interrupt(child: &Child) {
    let pid = Pid::from_child(child);
    rustix::process::kill_process(pid, Signal::INT).expect("the program still runs");
}

/// Serves the files below `root`; says on `asked` when a file whose path has `slow` in it is wanted, sends half of it, and the
/// rest once `go` hears something.
fn serve(root: PathBuf, slow: &'static str, asked: Sender<()>, go: Receiver<()>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let go = std::sync::Arc::new(std::sync::Mutex::new(go));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (root, asked, go) = (root.clone(), asked.clone(), go.clone());
            thread::spawn(move || {
                // A client that goes away is what this test is about.
                let _ = answer(&stream, &root, |path, stream, rest| {
                    if path.contains(slow) {
                        let _ = asked.send(());
                        let _ = go.lock().map(|go| go.recv());
                    }
                    (&mut &*stream).write_all(rest)
                });
            });
        }
    });
    address
}

fn answer(
    stream: &TcpStream,
    root: &Path,
    finish: impl Fn(&str, &TcpStream, &[u8]) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let path = request.split(' ').nth(1).unwrap_or_default();
    let mut out = stream;
    match fs::read(root.join(path.trim_start_matches('/'))) {
        Ok(bytes) => {
            write!(
                out,
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                bytes.len()
            )?;
            let (half, rest) = bytes.split_at(bytes.len() / 2);
            out.write_all(half)?;
            finish(path, stream, rest)
        }
        Err(_) => write!(
            out,
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        ),
    }
}

/// Starts a command and interrupts it once it wants the slow file.
fn interrupt_when_asked(workshop: &Workshop, words: &[&str], asked: &Receiver<()>) -> Child {
    let child = workshop
        .command(words)
        .env("no_proxy", "*")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start the program");
    asked.recv().expect("a request");
    interrupt(&child);
    child
}

#[test]
fn interrupted_downloads_go_on() {
    let repository = Repository::new();
    let (asked, was_asked) = channel();
    let (go, gone) = channel();
    let address = serve(repository.path(""), "netbase", asked, gone);
    let workshop = Workshop::new();
    workshop.write("product.toml", &repository.manifest(&address, "key"));
    workshop.run(["lock"]).succeeds();

    let child = interrupt_when_asked(&workshop, &["build", "--output", "out"], &was_asked);
    // The transfer may be waiting for bytes; the rest ends the wait.
    go.send(()).expect("a waiting server");
    let output = child.wait_with_output().expect("the program ends");
    Outcome::of(&output).refuses(INTERRUPTED, &["interrupted"]);
    assert!(files(&workshop.path("out")).is_empty());

    drop(go);
    // These packages hold no kernel: that is as far as the next run can come, and it has all packages then.
    workshop
        .run(["build", "--output", "out"])
        .refuses(1, &["no usable kernel"]);
    assert!(files(&workshop.path("store/partial")).is_empty());
}

#[test]
fn interrupted_locks_leave_none() {
    let repository = Repository::new();
    let (asked, was_asked) = channel();
    let (go, gone) = channel();
    let address = serve(repository.path(""), "Packages", asked, gone);
    let workshop = Workshop::new();
    workshop.write("product.toml", &repository.manifest(&address, "key"));
    let child = interrupt_when_asked(&workshop, &["lock"], &was_asked);
    // One index for each suite.
    go.send(()).expect("a waiting server");
    drop(go);
    let output = child.wait_with_output().expect("the program ends");
    Outcome::of(&output).refuses(INTERRUPTED, &["interrupted"]);
    assert!(!workshop.path("bedstone.lock").exists());
    workshop.run(["lock"]).succeeds();
}

/// A small real image.
pub(crate) const MANIFEST: &str = "board = \"qemu-amd64\"\n[product]\nname = \"interrupted\"\nversion = \"1\"\n\
     [partitions]\nboot = \"32M\"\nroot = \"400M\"\ndata = \"64M\"\n";

fn build(workshop: &Workshop, cache: &str) -> Command {
    let mut command = workshop.command(["build", "--json", "--output", "out", "--keys", "keys"]);
    command
        .env("BEDSTONE_STORE", downloads().join("store"))
        .env("BEDSTONE_CACHE", workshop.path(cache));
    command
}

/// Starts a build and interrupts it as soon as the task begins.
fn interrupt_in(workshop: &Workshop, task: &str) {
    let mut child = build(workshop, "cache")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start the program");
    let mut reader = BufReader::new(child.stderr.take().expect("standard error"));
    let mut said = String::new();
    loop {
        let mut line = String::new();
        let length = reader.read_line(&mut line).expect("read events");
        assert!(length > 0, "the build ended before `{task}`:\n{said}");
        said.push_str(&line);
        let event: Value = serde_json::from_str(&line).expect("JSON");
        if event["event"] == "started" && event["task"] == task {
            break;
        }
    }
    interrupt(&child);
    reader.read_to_string(&mut said).expect("read events");
    let status = child.wait().expect("the program ends");
    assert_eq!(status.code(), Some(INTERRUPTED), "{task}:\n{said}");
    assert!(!workshop.path("out/image.json").exists());
    // Artifacts appear whole or not at all; only a record makes them a build.
    let begun = fs::read_dir(workshop.path("out"))
        .expect("the output directory")
        .flatten()
        .filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"."));
    assert_eq!(begun.count(), 0, "half-written files are left");
}

/// The digests of all artifacts.
fn artifacts(workshop: &Workshop) -> Value {
    let record = fs::read(workshop.path("out/image.json")).expect("image.json");
    let mut record: Value = serde_json::from_slice(&record).expect("JSON");
    record["artifacts"].take()
}

#[test]
fn interrupted_builds_go_on_to_the_same_image() {
    let workshop = Workshop::new();
    workshop.write("product.toml", MANIFEST);
    let lock = workshop
        .command(["lock"])
        .env("BEDSTONE_STORE", downloads().join("store"))
        .env("BEDSTONE_CACHE", downloads().join("cache"))
        .output()
        .expect("start the program");
    Outcome::of(&lock).succeeds();
    let lock = fs::read(workshop.path("bedstone.lock")).expect("a lock");

    for task in [
        "kernel",
        "configure",
        "write-root",
        "verity",
        "initramfs",
        "sign",
        "assemble",
        "forms",
    ] {
        interrupt_in(&workshop, task);
    }
    let go_on = build(&workshop, "cache")
        .output()
        .expect("start the program");
    Outcome::of(&go_on).succeeds();
    let resumed = artifacts(&workshop);

    fs::write(workshop.path("bedstone.lock"), lock).expect("write the lock");
    let clean = build(&workshop, "clean")
        .output()
        .expect("start the program");
    Outcome::of(&clean).succeeds();
    assert_eq!(resumed, artifacts(&workshop));
}
