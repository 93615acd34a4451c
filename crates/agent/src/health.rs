//! Whether the running system works: the probes of [`crate::config::Health`], asked until all succeed or the time is over.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::config::{Health, Probe};

/// Between two rounds.
const PAUSE: Duration = Duration::from_secs(2);
/// How long one probe may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of a status line that are looked at.
const STATUS_LINE: usize = 64;

/// Waits until every probe succeeds. Otherwise tells, at the deadline, which did not and why.
pub fn wait(health: &Health, interrupt: &AtomicBool) -> Result<(), Vec<String>> {
    let end = Instant::now() + Duration::from_secs(health.deadline);
    loop {
        let failures: Vec<String> = health
            .probes
            .iter()
            .filter_map(|probe| {
                let why = ask(probe).err()?;
                Some(format!("{}: {why}", name(probe)))
            })
            .collect();
        if failures.is_empty() {
            return Ok(());
        }
        if Instant::now() >= end || interrupt.load(Ordering::Relaxed) {
            return Err(failures);
        }
        thread::sleep(PAUSE);
    }
}

/// A probe, for people.
fn name(probe: &Probe) -> String {
    match probe {
        Probe::System => "system".to_owned(),
        Probe::Unit(unit) => format!("unit {unit}"),
        Probe::Command(words) => format!("command {}", words.join(" ")),
        Probe::Tcp(address) => format!("tcp {address}"),
        Probe::Http(address) => format!("http {address}"),
    }
}

fn ask(probe: &Probe) -> Result<(), String> {
    match probe {
        Probe::System => system(),
        Probe::Unit(unit) => run(&["systemctl", "is-active", "--", unit]),
        Probe::Command(words) => {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            run(&words)
        }
        Probe::Tcp(address) => connect(address).map(drop),
        Probe::Http(address) => http(address),
    }
}

/// systemd is done starting and nothing failed; what did is named.
fn system() -> Result<(), String> {
    let Err(state) = run(&["systemctl", "is-system-running"]) else {
        return Ok(());
    };
    let failed = Command::new("systemctl")
        .args([
            "list-units",
            "--failed",
            "--plain",
            "--no-legend",
            "--no-pager",
        ])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    let units: Vec<String> = failed
        .map(|output| {
            String::from_utf8_lossy(&output.stdout)
                .lines()
                .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
                .collect()
        })
        .unwrap_or_default();
    if units.is_empty() {
        return Err(state);
    }
    Err(format!("{state}: {}", units.join(", ")))
}

/// Runs a program to its end, which must be 0; says its last line otherwise.
fn run(words: &[&str]) -> Result<(), String> {
    let (program, arguments) = words.split_first().ok_or("no program is named")?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| error.to_string())?;
    let mut output = child.stdout.take();
    let reading = thread::spawn(move || {
        let mut text = Vec::new();
        if let Some(output) = &mut output {
            // What cannot be read is not told.
            let _ = output.take(4096).read_to_end(&mut text);
        }
        text
    });
    let end = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() >= end => {
                // It may have ended in between.
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("not done after {} s", PATIENCE.as_secs()));
            }
            Ok(None) => thread::sleep(Duration::from_millis(50)),
            Err(error) => return Err(error.to_string()),
        }
    };
    if status.success() {
        return Ok(());
    }
    let text = reading.join().unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    match text.lines().last() {
        Some(line) => Err(line.trim().to_owned()),
        None => Err(status.to_string()),
    }
}

fn connect(address: &str) -> Result<TcpStream, String> {
    let addresses = address
        .to_socket_addrs()
        .map_err(|error| error.to_string())?;
    let mut last = "the name has no address".to_owned();
    for address in addresses {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}

/// Asks for a page (RFC 9112) and looks at the status only.
fn http(address: &str) -> Result<(), String> {
    let address = address.strip_prefix("http://").unwrap_or(address);
    let (host, path) = address
        .find('/')
        .map_or((address, "/"), |at| address.split_at(at));
    let mut stream = connect(host)?;
    let text = |error: std::io::Error| error.to_string();
    stream.set_read_timeout(Some(PATIENCE)).map_err(text)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(text)?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(text)?;
    let mut answer = [0; STATUS_LINE];
    let mut length = 0;
    while length < answer.len() && !answer[..length].contains(&b'\n') {
        match stream.read(&mut answer[length..]).map_err(text)? {
            0 => break,
            more => length += more,
        }
    }
    let line = String::from_utf8_lossy(&answer[..length]);
    let status = line
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.get(2..5)?.parse::<u16>().ok())
        .ok_or("the answer is not HTTP")?;
    if status < 400 {
        return Ok(());
    }
    Err(format!("status {status}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn server(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = [0; 1024];
                let _ = stream.read(&mut request);
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        address
    }

    fn failures(probes: Vec<Probe>) -> Vec<String> {
        let health = Health {
            deadline: 0,
            probes,
        };
        wait(&health, &AtomicBool::new(false))
            .err()
            .unwrap_or_default()
    }

    #[test]
    fn tells_what_does_not_work() {
        let good = server("HTTP/1.1 204 No Content\r\n\r\n");
        let bad = server("HTTP/1.0 503 Service Unavailable\r\n\r\n");
        let closed = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let words = |text: &str| text.split(' ').map(str::to_owned).collect();
        assert_eq!(
            failures(vec![
                Probe::Command(words("true")),
                Probe::Tcp(good.clone()),
                Probe::Http(format!("http://{good}/state")),
            ]),
            Vec::<String>::new()
        );
        let failures = failures(vec![
            Probe::Command(words("sh -c echo:not_ready;exit${IFS}3")),
            Probe::Tcp(closed.to_string()),
            Probe::Http(bad),
            Probe::Http(server("SSH-2.0-x\r\n")),
            Probe::Command(vec!["/nowhere".to_owned()]),
        ]);
        assert_eq!(failures.len(), 5);
        assert!(failures[1].contains("refused"), "{}", failures[1]);
        assert!(failures[2].ends_with("status 503"), "{}", failures[2]);
        assert!(failures[3].ends_with("not HTTP"), "{}", failures[3]);
    }

    #[test]
    fn waits_until_it_works() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ready");
        let health = Health {
            deadline: 60,
            probes: vec![Probe::Command(vec![
                "test".to_owned(),
                "-e".to_owned(),
                file.display().to_string(),
            ])],
        };
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(300));
            std::fs::write(file, "").unwrap();
        });
        wait(&health, &AtomicBool::new(false)).unwrap();
    }
}
