use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Mutex;
use std::time::Instant;

use super::*;

/// A request as a server sees it: its number, `Range` and `If-Range`.
#[derive(Debug, Clone, Default)]
struct Request {
    number: usize,
    range: Option<u64>,
    if_range: Option<String>,
}

/// What a server does to a request: bytes, and whether the connection is held open afterwards.
type Manner = Box<dyn Fn(&Request) -> Answer + Send>;

struct Answer {
    bytes: Vec<u8>,
    hold: bool,
}

struct Server {
    address: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

/// Answers one connection after the other; its thread ends with the test's process.
fn serve(manner: impl Fn(&Request) -> Answer + Send + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/new.swu", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&requests);
    let manner: Manner = Box::new(manner);
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let Ok(mut stream) = stream else { return };
            let request = Request {
                number,
                ..understand(&stream)
            };
            seen.lock().unwrap().push(request.clone());
            let answer = manner(&request);
            // A client that goes away is no concern of the server.
            let _ = stream.write_all(&answer.bytes);
            if answer.hold {
                std::mem::forget(stream);
            } else {
                let _ = stream.shutdown(Shutdown::Write);
                let _ = io::copy(&mut stream.take(1 << 20), &mut io::sink());
            }
        }
    });
    Server { address, requests }
}

fn understand(stream: &TcpStream) -> Request {
    let mut request = Request::default();
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { break };
        let Some((name, value)) = line.split_once(": ") else {
            if line.is_empty() {
                break;
            }
            continue;
        };
        if name.eq_ignore_ascii_case("range") {
            let start = value.strip_prefix("bytes=").unwrap().strip_suffix('-');
            request.range = Some(start.unwrap().parse().unwrap());
        } else if name.eq_ignore_ascii_case("if-range") {
            request.if_range = Some(value.to_owned());
        }
    }
    request
}

/// The file from where it was asked for, as a server that does ranges sends it.
fn ranged(file: &[u8], fields: &str, request: &Request) -> Vec<u8> {
    let Some(start) = request.range else {
        return whole(file, fields);
    };
    let rest = &file[start as usize..];
    let last = file.len() - 1;
    let mut bytes = format!(
        "HTTP/1.1 206 Partial Content\r\n{fields}Content-Range: bytes {start}-{last}/{}\r\nContent-Length: {}\r\n\r\n",
        file.len(),
        rest.len()
    )
    .into_bytes();
    bytes.extend(rest);
    bytes
}

fn whole(file: &[u8], fields: &str) -> Vec<u8> {
    let length = file.len();
    let mut bytes =
        format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {length}\r\n\r\n").into_bytes();
    bytes.extend(file);
    bytes
}

fn sent(bytes: Vec<u8>) -> Answer {
    Answer { bytes, hold: false }
}

fn status(line: &str) -> Answer {
    sent(format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n").into_bytes())
}

/// Only so many bytes of a response.
fn cut(mut bytes: Vec<u8>, length: usize) -> Answer {
    bytes.truncate(length);
    sent(bytes)
}

fn file() -> Vec<u8> {
    (0..100_000_u32)
        .flat_map(|it| it.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect()
}

const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(5),
    silence: Duration::from_secs(5),
    attempts: 4,
    pause: Duration::from_millis(1),
};

fn download(server: &Server, patience: Patience) -> std::result::Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let interrupt = Arc::default();
    Download::new(&server.address, patience, interrupt)
        .read_to_end(&mut bytes)
        .map_err(|error| error.downcast::<Error>().unwrap())?;
    Ok(bytes)
}

/// Starts of the requests, and what they made sure of.
fn asked(server: &Server) -> Vec<(Option<u64>, Option<String>)> {
    let requests = server.requests.lock().unwrap();
    requests
        .iter()
        .map(|it| (it.range, it.if_range.clone()))
        .collect()
}

const ETAG: &str = "ETag: \"one\"\r\n";

#[test]
fn reads_a_file_in_one_go() {
    let server = serve(|_| sent(whole(&file(), ETAG)));
    assert_eq!(download(&server, PATIENCE).unwrap(), file());
    assert_eq!(asked(&server), [(None, None)]);
}

#[test]
fn goes_on_where_a_connection_broke() {
    let server = serve(|request| cut(ranged(&file(), ETAG, request), 150_000));
    assert_eq!(download(&server, PATIENCE).unwrap(), file());
    let asked = asked(&server);
    assert_eq!(asked.len(), 3);
    for (range, if_range) in &asked[1..] {
        assert!(range.unwrap() > 140_000);
        assert_eq!(if_range.as_deref(), Some("\"one\""));
    }
}

#[test]
fn makes_sure_by_the_date_where_there_is_no_strong_tag() {
    let fields = "ETag: W/\"one\"\r\nLast-Modified: Sat, 21 Nov 2026 12:00:00 GMT\r\n";
    let server = serve(move |request| cut(ranged(&file(), fields, request), 300_000));
    assert_eq!(download(&server, PATIENCE).unwrap(), file());
    assert_eq!(
        asked(&server)[1].1.as_deref(),
        Some("Sat, 21 Nov 2026 12:00:00 GMT")
    );
}

#[test]
fn passes_over_what_a_server_without_ranges_repeats() {
    let server = serve(|request| {
        let length = if request.number == 0 {
            200_000
        } else {
            usize::MAX
        };
        cut(whole(&file(), ETAG), length)
    });
    assert_eq!(download(&server, PATIENCE).unwrap(), file());
    assert_eq!(asked(&server).len(), 2);
}

#[test]
fn notices_another_file() {
    let other: Vec<u8> = file().iter().map(|byte| byte ^ 1).collect();
    let longer = [file(), vec![0]].concat();
    let seconds: [(&str, Vec<u8>); 4] = [
        ("another tag, whole", whole(&other, "ETag: \"two\"\r\n")),
        (
            "another tag, the range",
            ranged(
                &other,
                "ETag: \"two\"\r\n",
                &Request {
                    range: Some(1000),
                    ..Request::default()
                },
            ),
        ),
        ("another length", whole(&longer, "")),
        (
            "shorter than the range",
            b"HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\n\r\n".to_vec(),
        ),
    ];
    for (what, second) in seconds {
        let server = serve(move |request| match request.number {
            0 => cut(whole(&file(), ETAG), 100_000),
            _ => sent(second.clone()),
        });
        let error = download(&server, PATIENCE).unwrap_err();
        assert!(matches!(error, Error::Changed { .. }), "{what}: {error}");
    }
}

#[test]
fn gives_up_after_attempts_that_bring_nothing() {
    let server = serve(|_| cut(whole(&file(), ETAG), 0));
    let error = download(&server, PATIENCE).unwrap_err();
    assert!(matches!(error, Error::Connection { .. }), "{error}");
    assert_eq!(asked(&server).len(), 4);
    // A trickle is no progress.
    let server = serve(|request| cut(ranged(&file(), ETAG, request), 2_000));
    let error = download(&server, PATIENCE).unwrap_err();
    assert!(matches!(error, Error::Connection { .. }), "{error}");
    assert_eq!(asked(&server).len(), 4);
}

#[test]
fn asks_again_when_a_server_is_busy_and_not_when_it_has_no_such_file() {
    let server = serve(|request| match request.number {
        0 | 1 => status("503 Service Unavailable"),
        _ => sent(whole(&file(), "")),
    });
    assert_eq!(download(&server, PATIENCE).unwrap(), file());
    for line in ["404 Not Found", "401 Unauthorized", "204 No Content"] {
        let server = serve(move |_| status(line));
        let error = download(&server, PATIENCE).unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{line}: {error}");
        assert_eq!(asked(&server).len(), 1, "{line}");
    }
}

#[test]
fn refuses_what_is_not_the_range() {
    for fields in [
        "Content-Range: bytes 399999-399999/400000",
        "Content-Range: bytes x",
        "X: y",
    ] {
        let server = serve(move |request| match request.number {
            0 => cut(whole(&file(), ETAG), 100_000),
            _ => sent(
                format!("HTTP/1.1 206 Partial Content\r\n{fields}\r\nContent-Length: 1\r\n\r\nx")
                    .into_bytes(),
            ),
        });
        let error = download(&server, PATIENCE).unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{fields}: {error}");
    }
    let encoded = "Content-Encoding: gzip\r\n";
    let server = serve(move |_| sent(whole(&file(), encoded)));
    let error = download(&server, PATIENCE).unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
}

#[test]
fn survives_garbage() {
    let samples: [&[u8]; 5] = [
        b"\0\xff garbage",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 999 \r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ];
    for sample in samples {
        let server = serve(move |_| sent(sample.to_vec()));
        let text = String::from_utf8_lossy(sample);
        assert!(download(&server, PATIENCE).is_err(), "{text}");
        assert!(asked(&server).len() <= 4, "{text}");
    }
    let endless =
        serve(|_| sent([b"HTTP/1.1 200 OK\r\n".as_slice(), &vec![b'x'; 1 << 20]].concat()));
    assert!(download(&endless, PATIENCE).is_err());
}

#[test]
fn a_silent_server_is_left_after_the_deadline() {
    let server = serve(|request| match request.number {
        // Holds the connection, half way through.
        0 => Answer {
            hold: true,
            bytes: whole(&file(), ETAG)[..200_000].to_vec(),
        },
        1 => Answer {
            hold: true,
            bytes: Vec::new(),
        },
        _ => sent(ranged(&file(), ETAG, request)),
    });
    let patience = Patience {
        silence: Duration::from_millis(200),
        ..PATIENCE
    };
    assert_eq!(download(&server, patience).unwrap(), file());
    assert_eq!(asked(&server).len(), 3);
}

#[test]
fn follows_a_redirect_and_not_for_ever() {
    let target = serve(|_| sent(whole(&file(), "")));
    let location = target.address.clone();
    let server = serve(move |_| {
        sent(
            format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
                .into_bytes(),
        )
    });
    assert_eq!(download(&server, PATIENCE).unwrap(), file());
    let circle = serve(|_| {
        sent(b"HTTP/1.1 302 Found\r\nLocation: /new.swu\r\nContent-Length: 0\r\n\r\n".to_vec())
    });
    let error = download(&circle, PATIENCE).unwrap_err();
    assert!(matches!(error, Error::Connection { .. }), "{error}");
}

#[test]
fn stops_when_asked_to() {
    let server = serve(|_| cut(Vec::new(), 0));
    let patience = Patience {
        pause: Duration::from_secs(30),
        ..PATIENCE
    };
    let interrupt = Arc::new(AtomicBool::new(false));
    let mut reader = Download::new(&server.address, patience, Arc::clone(&interrupt));
    thread::spawn(move || {
        thread::sleep(Duration::from_millis(200));
        interrupt.store(true, Ordering::Relaxed);
    });
    let started = Instant::now();
    let error = reader.read(&mut [0; 10]).unwrap_err();
    assert!(matches!(
        error.downcast::<Error>().unwrap(),
        Error::Interrupted
    ));
    assert!(started.elapsed() < Duration::from_secs(5));
}
