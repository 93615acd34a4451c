use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn pair() -> (Console, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let console = Console::new(ours, Instant::now(), None, None).unwrap();
    (console, theirs)
}

#[test]
fn expects_over_time_and_tells_why_not() {
    let (console, mut machine) = pair();
    let writer = thread::spawn(move || {
        for piece in ["\x1b[1mho", "st log", "in: "] {
            thread::sleep(Duration::from_millis(20));
            machine.write_all(piece.as_bytes()).unwrap();
        }
        machine
    });
    let found = console.expect(Pattern::glob("* login: "), SECOND).unwrap();
    assert_eq!(found.captures, ["host"]);
    let machine = writer.join().unwrap();
    let error = console
        .expect("more", Duration::from_millis(30))
        .unwrap_err();
    assert!(matches!(&error, Error::Timeout { tail, .. } if tail == "host login: "));
    drop(machine);
    let error = console.expect("more", SECOND).unwrap_err();
    assert!(matches!(error, Error::Closed { .. }), "{error}");
    assert!(matches!(console.send_line("x"), Err(Error::Closed { .. })));
}

#[test]
fn an_interrupt_ends_the_waiting() {
    let (ours, _machine) = UnixStream::pair().unwrap();
    let flag = Arc::new(AtomicBool::new(false));
    let console = Console::new(ours, Instant::now(), None, Some(Arc::clone(&flag))).unwrap();
    thread::spawn(move || {
        thread::sleep(Duration::from_millis(50));
        flag.store(true, Ordering::Relaxed);
    });
    let begun = Instant::now();
    let error = console
        .expect("never", Duration::from_secs(60))
        .unwrap_err();
    assert!(matches!(error, Error::Interrupted(_)));
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn logs_each_line_with_its_time() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("console.log");
    let (ours, mut machine) = UnixStream::pair().unwrap();
    let console = Console::new(ours, Instant::now(), Some(&log), None).unwrap();
    machine.write_all(b"one\r\ntw").unwrap();
    console.expect("tw", SECOND).unwrap();
    machine.write_all(b"o\r\n").unwrap();
    console.expect("o\n", SECOND).unwrap();
    drop(console);
    let text = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(
        lines[0].starts_with("[    0.0") && lines[0].ends_with("] one"),
        "{text}"
    );
    assert!(lines[1].ends_with("] two"), "{text}");
}

#[test]
fn a_full_disk_is_told() {
    let (ours, mut machine) = UnixStream::pair().unwrap();
    let console = Console::new(ours, Instant::now(), Some(Path::new("/dev/full")), None).unwrap();
    machine.write_all(b"text").unwrap();
    let error = console.expect("never", SECOND).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
}

#[test]
fn a_person_types_and_reads() {
    let (console, mut machine) = pair();
    let (mut keys, input) = UnixStream::pair().unwrap();
    let mut shown = Vec::new();
    let person = thread::spawn(move || {
        keys.write_all(b"ls\r").unwrap();
        let mut typed = [0; 3];
        machine.read_exact(&mut typed).unwrap();
        machine.write_all(b"\x1b[1mfiles").unwrap();
        thread::sleep(Duration::from_millis(300));
        keys.write_all(b"\x01x").unwrap();
        typed
    });
    let detached = console.attach(&input, &mut shown).unwrap();
    assert_eq!(detached, Detached::Quit);
    assert_eq!(&person.join().unwrap(), b"ls\r");
    assert_eq!(shown, b"\x1b[1mfiles");
}
