mod repository;
mod server;

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;

use bedstone_event::{Event, Sink};
use tempfile::TempDir;

use super::*;
use crate::gpg;
use server::{Fault, Server};

/// Keeps what is reported.
#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<Event>>>);

impl Sink for Events {
    fn emit(&self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

/// Asks for the end of the run once half of a file has arrived.
struct Stop(Arc<AtomicBool>);

impl Sink for Stop {
    fn emit(&self, event: &Event) {
        if matches!(event, Event::Progress { done, .. } if *done > 100_000) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

struct Bench {
    _directory: TempDir,
    store: Store,
    server: Server,
    events: Events,
    options: Options,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut options = Options::new(gpg::now());
        options.pause = Duration::from_millis(1);
        Self {
            store: Store::open(directory.path().join("store")).unwrap(),
            _directory: directory,
            server: Server::start(),
            events: Events::default(),
            options,
        }
    }

    fn fetcher(&self) -> Fetcher<'_> {
        let reporter = Reporter::new(self.events.clone());
        Fetcher::new(&self.store, self.options.clone(), reporter).unwrap()
    }

    fn fetch(&self, file: &WantedFile) -> Result<()> {
        self.fetcher().packages(std::slice::from_ref(file))
    }

    /// Puts a file on the server and returns what to ask for.
    fn file(&self, name: &str, content: &[u8]) -> WantedFile {
        self.server.put(&format!("/pool/{name}.deb"), content);
        WantedFile {
            name: format!("{name} 1"),
            filename: format!("pool/{name}.deb"),
            digest: Digest::of(content),
            size: content.len() as u64,
            uris: vec![self.server.uri.clone()],
        }
    }

    fn partial(&self, file: &WantedFile) -> PathBuf {
        self.store.partial(&file.digest)
    }
}

fn content(seed: u8) -> Vec<u8> {
    (0..200_000u32).map(|it| (it >> 3) as u8 ^ seed).collect()
}

#[test]
fn fetches_in_parallel_and_only_once() {
    let bench = Bench::new();
    let mut files: Vec<_> = (0..20)
        .map(|seed| bench.file(&format!("p{seed}"), &content(seed)))
        .collect();
    files.push(files[0].clone());
    files.push(bench.file("empty", b""));
    files.push(bench.file("odd+name~1:2", b"odd"));
    bench.fetcher().packages(&files).unwrap();
    assert!(files.iter().all(|file| bench.store.contains(&file.digest)));
    let mut log = bench.server.log();
    assert_eq!(log.len(), 21, "{log:?}");
    log.retain(|it| it != "/pool/odd+name~1:2.deb 200");
    assert_eq!(log.len(), 20);
    let done = bench
        .events
        .0
        .lock()
        .unwrap()
        .iter()
        .rev()
        .find_map(|event| match event {
            Event::Progress { done, total, .. } => Some((*done, *total)),
            _ => None,
        });
    assert_eq!(done, Some((4_000_003, Some(4_000_003))));
    bench.fetcher().packages(&files).unwrap();
    assert_eq!(bench.server.log(), [""; 0]);
}

#[test]
fn continues_where_a_connection_broke() {
    let bench = Bench::new();
    let file = bench.file("a", &content(0));
    bench
        .server
        .faults("/pool/a.deb", &[Fault::Cut(100_000), Fault::Status(503)]);
    bench.fetch(&file).unwrap();
    let log = bench.server.log();
    assert_eq!(log.len(), 3, "{log:?}");
    assert_eq!(log[0], "/pool/a.deb 200");
    let offset = log[1].strip_prefix("/pool/a.deb bytes=").unwrap();
    assert!(offset.ends_with("- 503"), "{offset}");
    assert!(log[2].ends_with("- 206"), "{log:?}");
    assert!(bench.store.contains(&file.digest));
}

#[test]
fn continues_what_an_earlier_run_left() {
    let bench = Bench::new();
    let file = bench.file("a", &content(0));
    // Half of the file; all of it; all of it and more; half of another; and a server without ranges.
    let cases: [(Vec<u8>, Option<Fault>, &[&str]); 5] = [
        (
            content(0)[..100_000].to_vec(),
            None,
            &["/pool/a.deb bytes=100000- 206"],
        ),
        (content(0), None, &[]),
        (
            [content(0), content(1)].concat(),
            None,
            &["/pool/a.deb 200"],
        ),
        (
            content(1)[..100_000].to_vec(),
            None,
            &["/pool/a.deb bytes=100000- 206", "/pool/a.deb 200"],
        ),
        (
            content(1)[..100_000].to_vec(),
            Some(Fault::NoRange),
            &["/pool/a.deb bytes=100000- 200"],
        ),
    ];
    for (left, fault, requests) in cases {
        let _ = fs::remove_file(bench.store.path(&file.digest));
        fs::write(bench.partial(&file), &left).unwrap();
        if let Some(fault) = fault {
            bench.server.faults("/pool/a.deb", &[fault]);
        }
        bench.fetch(&file).unwrap();
        assert_eq!(bench.server.log(), requests);
        bench.store.verify(&file.digest).unwrap();
        assert!(!bench.partial(&file).exists());
    }
}

/// Whether an error is of the kind that is due.
type Check = fn(&Error) -> bool;

#[test]
fn tells_what_is_wrong_and_keeps_nothing_of_it() {
    let bench = Bench::new();
    let good = content(0);
    let cases: [(&[Fault], usize, &str, Check); 6] = [
        (
            &[Fault::Flip(5)],
            200_000,
            "was altered: expected sha256",
            |it| matches!(it, Error::WrongContent { .. }),
        ),
        (
            &[],
            200_001,
            "was altered: expected 200001 bytes, got 200000",
            |it| matches!(it, Error::WrongSize { .. }),
        ),
        (
            &[Fault::Endless],
            200_000,
            "was altered: expected 200000 bytes",
            |it| matches!(it, Error::WrongSize { .. }),
        ),
        (
            &[Fault::Status(404)],
            200_000,
            "run `bedstone lock --upgrade`",
            |it| matches!(it, Error::Superseded { .. }),
        ),
        (
            &[Fault::Status(403)],
            200_000,
            "the server answered 403",
            |it| matches!(it, Error::Network { .. }),
        ),
        (
            &[Fault::Status(503); 3],
            200_000,
            "the server answered 503",
            |it| matches!(it, Error::Network { .. }),
        ),
    ];
    for (faults, size, text, check) in cases {
        let mut file = bench.file("a", &good);
        file.size = size as u64;
        bench.server.faults("/pool/a.deb", faults);
        let error = bench.fetch(&file).unwrap_err();
        assert!(check(&error), "{error:?}");
        assert!(error.to_string().contains(text), "{error}");
        assert!(!bench.store.contains(&file.digest));
        let partial = fs::metadata(bench.partial(&file)).map_or(0, |it| it.len());
        assert_eq!(partial, 0, "{error}");
    }
}

#[test]
fn tries_every_address() {
    let bench = Bench::new();
    let mut file = bench.file("a", &content(0));
    let other = Server::start();
    other.put("/pool/a.deb", content(1));
    let nobody = "http://127.0.0.1:1".to_owned();
    file.uris = vec![nobody.clone(), other.uri.clone(), bench.server.uri.clone()];
    bench.fetch(&file).unwrap();
    bench.store.verify(&file.digest).unwrap();

    let mut file = bench.file("b", &content(2));
    file.uris = vec![nobody];
    let error = bench.fetcher().packages(&[file]).unwrap_err();
    assert!(matches!(error, Error::Network { .. }), "{error}");
}

#[test]
fn fetches_from_the_file_system() {
    let bench = Bench::new();
    let mut file = bench.file("a", &content(0));
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("pool")).unwrap();
    fs::write(directory.path().join("pool/a.deb"), content(0)).unwrap();
    fs::write(bench.partial(&file), &content(0)[..1000]).unwrap();
    file.uris = vec![format!("file://{}", directory.path().display())];
    bench.fetch(&file).unwrap();
    bench.store.verify(&file.digest).unwrap();
    file.digest = Digest::of(b"other");
    file.filename = "pool/b.deb".to_owned();
    let error = bench.fetch(&file).unwrap_err();
    assert!(matches!(error, Error::Superseded { .. }), "{error}");
    file.filename = "../a.deb".to_owned();
    let error = bench.fetcher().packages(&[file]).unwrap_err();
    assert!(matches!(error, Error::Index { .. }), "{error}");
}

#[test]
fn a_full_disk_leaves_nothing() {
    let bench = Bench::new();
    let file = bench.file("a", &content(0));
    std::os::unix::fs::symlink("/dev/full", bench.partial(&file)).unwrap();
    let error = bench.fetch(&file).unwrap_err();
    assert!(matches!(error, Error::DiskFull { .. }), "{error}");
    assert!(error.to_string().starts_with("the disk is full"), "{error}");
    assert!(fs::symlink_metadata(bench.partial(&file)).is_err());
    bench.fetcher().packages(&[file]).unwrap();
}

#[test]
fn an_interrupted_run_is_continued() {
    let mut bench = Bench::new();
    let file = bench.file("a", &content(0));
    let reporter = Reporter::new(Stop(Arc::clone(&bench.options.interrupt)));
    let fetcher = Fetcher::new(&bench.store, bench.options.clone(), reporter).unwrap();
    let error = fetcher.packages(std::slice::from_ref(&file)).unwrap_err();
    assert!(matches!(error, Error::Interrupted), "{error}");
    let left = fs::metadata(bench.partial(&file)).unwrap().len();
    assert!(left > 100_000);
    let error = bench.fetch(&file).unwrap_err();
    assert!(matches!(error, Error::Interrupted), "{error}");

    bench.server.log();
    bench.options.interrupt = Arc::default();
    bench.fetch(&file).unwrap();
    let expected = if left == 200_000 {
        vec![]
    } else {
        vec![format!("/pool/a.deb bytes={left}- 206")]
    };
    assert_eq!(bench.server.log(), expected);
    bench.store.verify(&file.digest).unwrap();
}

#[test]
fn an_interrupt_does_not_wait_for_a_silent_server() {
    let bench = Bench::new();
    let file = bench.file("a", &content(0));
    bench.server.faults("/pool/a.deb", &[Fault::Stall(100_000)]);
    let begun = std::time::Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| {
            while fs::metadata(bench.partial(&file)).map_or(0, |it| it.len()) < 100_000 {
                thread::yield_now();
            }
            bench.options.interrupt.store(true, Ordering::Relaxed);
        });
        let error = bench.fetch(&file).unwrap_err();
        assert!(matches!(error, Error::Interrupted), "{error}");
    });
    assert!(begun.elapsed() < bench.options.timeout / 2);
    assert_eq!(fs::metadata(bench.partial(&file)).unwrap().len(), 100_000);
}

#[test]
fn two_runs_at_once_share_a_download() {
    let bench = Bench::new();
    let file = bench.file("a", &content(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| bench.fetch(&file).unwrap());
        }
    });
    bench.store.verify(&file.digest).unwrap();
    assert_eq!(bench.server.log(), ["/pool/a.deb 200"]);
}

#[test]
fn follows_redirections() {
    let bench = Bench::new();
    let file = bench.file("a", b"moved");
    bench.server.put("/other/a", "moved");
    bench
        .server
        .faults("/pool/a.deb", &[Fault::Moved("/other/a")]);
    bench.fetch(&file).unwrap();
    assert_eq!(bench.server.log(), ["/pool/a.deb 302", "/other/a 200"]);

    let file = bench.file("b", b"never there");
    for (location, faults, text) in [
        ("/pool/b.deb", 6, "more than 5 times"),
        ("ftp://example/b", 1, "not followed"),
        ("", 1, "not followed"),
    ] {
        bench
            .server
            .faults("/pool/b.deb", &vec![Fault::Moved(location); faults]);
        let error = bench.fetch(&file).unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
    }
}

#[test]
fn asks_the_proxy() {
    let mut bench = Bench::new();
    let proxy = Server::start();
    let mut file = bench.file("a", b"through the proxy");
    proxy.put("http://archive.invalid/pool/a.deb", "through the proxy");
    file.uris = vec!["http://archive.invalid".to_owned()];
    bench.options.http_proxy = Some(proxy.uri.clone());
    bench.fetch(&file).unwrap();
    assert_eq!(proxy.log(), ["http://archive.invalid/pool/a.deb 200"]);
    let mut second = bench.file("c", b"again");
    second.uris.clone_from(&file.uris);
    proxy.put("http://archive.invalid/pool/c.deb", "again");
    let with_login = proxy.uri.replace("http://", "http://me:secret@");
    bench.options.http_proxy = Some(with_login);
    bench.fetcher().packages(&[second]).unwrap();
    assert_eq!(proxy.log(), ["http://archive.invalid/pool/c.deb 200"]);

    let direct = bench.file("b", b"without");
    bench.options.no_proxy = vec!["127.0.0.1".to_owned()];
    bench.fetcher().packages(&[direct]).unwrap();
    assert_eq!(bench.server.log(), ["/pool/b.deb 200"]);

    for bad in ["not a proxy", "socks5://127.0.0.1:1", "https://127.0.0.1:1"] {
        bench.options.http_proxy = Some(bad.to_owned());
        let result = Fetcher::new(&bench.store, bench.options.clone(), Reporter::quiet());
        let message = result.unwrap_err().to_string();
        assert!(message.contains("not a usable proxy"), "{message}");
    }
}

#[test]
fn offline_means_no_request() {
    let mut bench = Bench::new();
    let files = [bench.file("a", b"a"), bench.file("b", b"b")];
    bench.fetcher().packages(&files[..1]).unwrap();
    bench.server.log();
    bench.options.offline = true;
    bench.fetcher().packages(&files[..1]).unwrap();
    let error = bench.fetcher().packages(&files).unwrap_err();
    assert!(
        matches!(&error, Error::Offline { what } if what == "b 1"),
        "{error}"
    );
    assert_eq!(bench.server.log(), [""; 0]);
}
