//! What `bedstone run` does.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use bedstone_event::{JsonLines, Reporter};
use bedstone_lab::run::{End, RunConfig, RunReport, Terminal, Until, run};

use crate::guest::{BOOT, Work, guest};

fn config(words: &str, until: Until) -> RunConfig {
    RunConfig {
        machine: guest().machine(words),
        until,
        limit: BOOT,
        echo: false,
    }
}

fn go(work: &Work, config: &RunConfig, reporter: &Reporter) -> RunReport {
    let interrupt = Arc::new(AtomicBool::new(false));
    run(&work.tools, config, work.path(), reporter, &interrupt, None).unwrap()
}

#[test]
fn to_the_login_prompt() {
    let work = Work::new();
    let events = work.path().join("events");
    let reporter = Reporter::new(JsonLines::new(File::create(&events).unwrap()));
    let report = go(&work, &config("", Until::Login), &reporter);
    assert_eq!(report.end, End::Login);
    let json = serde_json::to_value(&report).unwrap();
    eprintln!("{json:#}");
    assert_eq!(json["version"], 1);
    assert_eq!(json["slot"], "a");
    assert_eq!(json["root_hash"], "0123456789abcdef");
    assert_eq!(json["end"]["reason"], "login");
    let boot = &json["boots"][0];
    assert!(boot["kernel"].as_f64() < boot["login"].as_f64());
    let events = std::fs::read_to_string(events).unwrap();
    assert!(events.contains("kernel after") && events.contains("\"outcome\":\"done\""));
}

#[test]
fn a_prompt_that_does_not_come() {
    let work = Work::new();
    let late = RunConfig {
        limit: Duration::from_millis(500),
        ..config("", Until::Login)
    };
    let report = go(&work, &late, &Reporter::quiet());
    assert!(matches!(report.end, End::Timeout { .. }) && !report.is_success());
    let interrupt = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupt);
    thread::spawn(move || {
        thread::sleep(Duration::from_millis(500));
        flag.store(true, Ordering::Relaxed);
    });
    let endless = config("", Until::PowerOff);
    let report = run(
        &work.tools,
        &endless,
        work.path(),
        &Reporter::quiet(),
        &interrupt,
        None,
    );
    assert_eq!(report.unwrap().end, End::Interrupted);
}

#[test]
fn with_a_person() {
    let work = Work::new();
    let (mut keys, input) = UnixStream::pair().unwrap();
    let (mut screen, shown) = UnixStream::pair().unwrap();
    let person = thread::spawn(move || {
        use std::io::Read;
        let mut seen = Vec::new();
        let mut buffer = [0; 4096];
        while !String::from_utf8_lossy(&seen).contains("guest login: ") {
            let length = screen.read(&mut buffer).unwrap();
            assert!(length > 0);
            seen.extend_from_slice(&buffer[..length]);
        }
        keys.write_all(b"\x01x").unwrap();
        (keys, screen)
    });
    let interrupt = Arc::new(AtomicBool::new(false));
    let terminal = Terminal {
        input: input.as_fd(),
        output: &mut &shown,
    };
    let config = config("", Until::PowerOff);
    let report = run(
        &work.tools,
        &config,
        work.path(),
        &Reporter::quiet(),
        &interrupt,
        Some(terminal),
    )
    .unwrap();
    person.join().unwrap();
    assert_eq!(report.end, End::Quit);
    assert_eq!(report.slot.as_deref(), Some("a"));
    assert!(report.seconds_to_login().is_some());
}
