//! What the program is seen to do.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener};
use std::os::unix::net::UnixStream;
use std::process::{Child, Output};
use std::thread;
use std::time::{Duration, Instant};

use bedstone_disk::layout::Slot;
use bedstone_disk::verity::{self, RootArguments};
use bedstone_disk::{fat::Volume, uki};
use serde_json::Value;

use crate::machine::{Agent, Machine, lines};
use crate::product::{Product, Release};

pub(crate) fn tells_what_it_is_and_what_is_missing(agent: &Agent) {
    let machine = Machine::bare(agent);
    let version = machine.run(&["--version"]);
    assert!(version.status.success(), "{version:?}");
    assert!(version.stdout.starts_with(b"bedstone-agent "));
    let status = machine.run(&["status", "--json"]);
    assert_eq!(status.status.code(), Some(1));
    let line = &lines(&status)[0];
    assert_eq!(line["result"], "failed");
    assert_eq!(line["code"], "failed");
    let wrong = machine.run(&["install", "https://server/x.swu"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("only http:// is downloaded"));
}

pub(crate) fn installs_a_file(agent: &Agent) {
    let (product, old, new) = product();
    let machine = Machine::new(agent, &product, &old);
    let bundle = machine.path("new.swu");
    fs::write(&bundle, &new.bundle).unwrap();
    let output = machine.run(&["--json", "install", &bundle.to_string_lossy()]);
    assert!(output.status.success(), "{output:?}");
    let lines = lines(&output);
    assert_eq!(lines[0]["progress"], "begun");
    assert_eq!(lines[0]["slot"], "b");
    assert_eq!(
        lines.last().unwrap().to_string(),
        "{\"version\":1,\"result\":\"installed\",\"slot\":\"b\",\"bundle_version\":\"2.0\"}"
    );
    is_installed(&machine, &new);
    // The same once more, from standard input: for people there is one line on standard output.
    let output = machine.run_with(&["install", "--reinstall", "-"], &bundle);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "Version 2.0 is in slot b, which is started next.\n"
    );
    assert!(String::from_utf8_lossy(&output.stderr).contains("Installing version 2.0"));
}

pub(crate) fn installs_what_a_server_sends_in_pieces(agent: &Agent) {
    let (product, old, new) = product();
    let machine = Machine::new(agent, &product, &old);
    let url = serve_in_pieces(new.bundle.clone());
    let output = machine.run(&["--json", "install", &url]);
    assert!(output.status.success(), "{output:?}");
    is_installed(&machine, &new);
    // No copy of the bundle is left or was needed.
    let kept = machine.path("lib/bedstone/update");
    let size: u64 = fs::read_dir(kept)
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!(size < 10_000, "{size} bytes");
}

pub(crate) fn refuses_with_a_code(agent: &Agent) {
    let (product, old, new) = product();
    let machine = Machine::new(agent, &product, &old);
    let mut bundle = new.bundle.clone();
    bundle.truncate(bundle.len() / 2);
    let cut = machine.path("cut.swu");
    fs::write(&cut, &bundle).unwrap();
    let result = |output: &Output| lines(output).last().unwrap().clone();
    let output = machine.run(&["--json", "install", &cut.to_string_lossy()]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert_eq!(result(&output)["code"], "truncated");

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/x.swu", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            read_head(&stream);
            let _ = (&stream).write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let partitions =
        || [Slot::B.boot_partition(), Slot::B.root_partition()].map(|it| machine.partition(it));
    let before = partitions();
    let output = machine.run(&["--json", "install", &url]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(result(&output)["code"], "download");
    assert!(partitions() == before);
}

pub(crate) fn serves_a_socket(agent: &Agent) {
    let (product, old, new) = product();
    let machine = Machine::new(agent, &product, &old);
    let socket = machine.path("socket");
    let name = socket.to_string_lossy();
    let mut daemon = Running(machine.start(&["daemon", "--socket", &name]));
    let deadline = Instant::now() + Duration::from_secs(30);
    while UnixStream::connect(&socket).is_err() {
        assert!(Instant::now() < deadline, "the daemon does not listen");
        thread::sleep(Duration::from_millis(20));
    }
    let mut watch = Running(machine.start(&["--json", "watch", "--socket", &name]));
    let mut watched = BufReader::new(watch.0.stdout.take().unwrap());
    assert_eq!(next(&mut watched)["protocol"], 1);
    assert_eq!(next(&mut watched)["result"], "subscribed");

    let stream = UnixStream::connect(&socket).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let mut reader = BufReader::new(&stream);
    assert_eq!(next(&mut reader)["protocol"], 1);
    (&stream).write_all(b"{\"request\":\"status\"}\n").unwrap();
    let status = next(&mut reader);
    assert_eq!(status["status"]["slots"][0]["state"], "confirmed");
    (&stream)
        .write_all(b"{\"request\":\"install\",\"bundle\":\"-\"}\n")
        .unwrap();
    (&stream).write_all(&new.bundle).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(next(&mut reader)["progress"], "begun");
    assert_eq!(until_result(&mut reader)["result"], "installed");
    is_installed(&machine, &new);

    assert_eq!(next(&mut watched)["started"], "install");
    assert_eq!(next(&mut watched)["progress"], "begun");
    assert_eq!(until_result(&mut watched)["result"], "installed");

    // Asked to end, it ends well and takes its socket along.
    let pid = rustix::process::Pid::from_child(&daemon.0);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(daemon.0.wait().unwrap().success());
    assert!(!socket.exists());
    assert!(watch.0.wait().unwrap().success());
}

fn product() -> (Product, Release, Release) {
    let product = Product::create();
    let (old, new) = (product.release("1.0"), product.release("2.0"));
    (product, old, new)
}

/// Slot B holds the release, complete and verified, and is started next.
fn is_installed(machine: &Machine<'_>, release: &Release) {
    let root = machine.partition(Slot::B.root_partition());
    assert!(root.starts_with(&release.root));
    let boot = machine.partition(Slot::B.boot_partition());
    let kernel = Volume::open(&boot)
        .and_then(|volume| volume.read("linux.efi", 1 << 20))
        .unwrap();
    assert!(kernel == release.kernel);
    let contents = uki::Contents::read(&kernel).unwrap();
    let arguments = RootArguments::parse(contents.command_line).unwrap();
    assert_eq!(arguments.hash, release.root_hash);
    verity::verify(
        &root,
        &arguments.superblock(),
        arguments.hash_offset,
        &arguments.hash,
    )
    .unwrap();
    let status = &lines(&machine.run(&["--json", "status"]))[0];
    assert_eq!(status["slots"][1]["state"], "installed");
    assert_eq!(status["transaction"]["state"], "installed");
}

/// A server whose connections break after 100,000 bytes.
fn serve_in_pieces(file: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/new.swu", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let range = read_head(&stream);
            let rest = &file[range.unwrap_or(0)..];
            let fields = format!("ETag: \"x\"\r\nContent-Length: {}\r\n", rest.len());
            let head = match range {
                None => format!("HTTP/1.1 200 OK\r\n{fields}\r\n"),
                Some(start) => format!(
                    "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {start}-{}/{}\r\n{fields}\r\n",
                    file.len() - 1,
                    file.len()
                ),
            };
            let piece = &rest[..rest.len().min(100_000)];
            // A client that goes away is no concern of the server.
            let _ = stream
                .write_all(head.as_bytes())
                .and_then(|()| stream.write_all(piece));
        }
    });
    url
}

/// Reads a request; returns the first byte that it asks for.
fn read_head(stream: &std::net::TcpStream) -> Option<usize> {
    let mut range = None;
    for line in BufReader::new(stream).lines() {
        let line = line.unwrap().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(start) = line.strip_prefix("range: bytes=") {
            range = start.trim_end_matches('-').parse().ok();
        }
    }
    range
}

fn next(reader: &mut impl BufRead) -> Value {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: `{line}`"))
}

fn until_result(reader: &mut impl BufRead) -> Value {
    loop {
        let line = next(reader);
        if !line["result"].is_null() {
            return line;
        }
    }
}

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
