//! An HTTP/1.1 server for tests: files in memory, ranges, entity tags, and faults on demand.

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use bedstone_store::Digest;

/// What goes wrong with one answer.
#[derive(Clone, Copy)]
pub(super) enum Fault {
    /// This status instead of the file.
    Status(u16),
    /// The connection ends after so many bytes of the content.
    Cut(usize),
    /// This byte of the content is another one.
    Flip(usize),
    /// The file is at this address instead.
    Moved(&'static str),
    /// Nothing more after so many bytes, and the connection stays open.
    Stall(usize),
    /// Everything although a range was asked for.
    NoRange,
    /// More is sent than the file has, without saying how much.
    Endless,
}

#[derive(Default)]
struct State {
    files: HashMap<String, Vec<u8>>,
    faults: HashMap<String, VecDeque<Fault>>,
    log: Vec<String>,
}

/// The server; it ends with the process.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) uri: String,
    state: Arc<Mutex<State>>,
}

impl Server {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { uri, state }
    }

    pub(super) fn put(&self, path: &str, content: impl Into<Vec<u8>>) {
        let mut state = self.state.lock().unwrap();
        state.files.insert(path.to_owned(), content.into());
    }

    pub(super) fn remove(&self, path: &str) {
        self.state.lock().unwrap().files.remove(path);
    }

    /// The next answers for `path` have these faults, one each.
    pub(super) fn faults(&self, path: &str, faults: &[Fault]) {
        let mut state = self.state.lock().unwrap();
        state
            .faults
            .insert(path.to_owned(), faults.iter().copied().collect());
    }

    /// The requests since the last call: path, range if any, status.
    pub(super) fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().log)
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    while let Some((path, headers)) = request(&mut reader) {
        if answer(&mut stream, state, &path, &headers).is_none() {
            return;
        }
    }
}

fn request(reader: &mut impl BufRead) -> Option<(String, HashMap<String, String>)> {
    let mut line = String::new();
    reader
        .read_line(&mut line)
        .ok()
        .filter(|&length| length > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            return Some((path, headers));
        };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
}

/// Answers one request; `None` when the connection is to be closed.
fn answer(
    stream: &mut TcpStream,
    state: &Mutex<State>,
    path: &str,
    headers: &HashMap<String, String>,
) -> Option<()> {
    let (content, fault) = {
        let mut state = state.lock().unwrap();
        let fault = state.faults.get_mut(path).and_then(VecDeque::pop_front);
        (state.files.get(path).cloned(), fault)
    };
    let range = headers.get("range").cloned();
    let log = |status: u16| {
        let range = range
            .as_ref()
            .map(|range| format!(" {range}"))
            .unwrap_or_default();
        state
            .lock()
            .unwrap()
            .log
            .push(format!("{path}{range} {status}"));
    };
    if let Some(Fault::Moved(location)) = fault {
        log(302);
        let head =
            format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
        return stream.write_all(head.as_bytes()).ok();
    }
    let status = match (&content, fault) {
        (_, Some(Fault::Status(status))) => Some(status),
        (None, _) => Some(404),
        _ => None,
    };
    if let Some(status) = status {
        log(status);
        let head = format!("HTTP/1.1 {status} Fault\r\nContent-Length: 0\r\n\r\n");
        return stream.write_all(head.as_bytes()).ok();
    }
    let mut content = content.unwrap();
    let etag = format!("\"{}\"", Digest::of(&content));
    if headers.get("if-none-match") == Some(&etag) {
        log(304);
        let head = format!("HTTP/1.1 304 Not Modified\r\nETag: {etag}\r\n\r\n");
        return stream.write_all(head.as_bytes()).ok();
    }
    let total = content.len();
    if let Some(Fault::Flip(index)) = fault {
        content[index] ^= 1;
    }
    let first = range
        .as_ref()
        .filter(|_| !matches!(fault, Some(Fault::NoRange)))
        .and_then(|range| {
            range
                .strip_prefix("bytes=")?
                .strip_suffix('-')?
                .parse()
                .ok()
        })
        .unwrap_or(0);
    if first > 0 && first >= total {
        log(416);
        let head = "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\n\r\n";
        return stream.write_all(head.as_bytes()).ok();
    }
    let body = &content[first..];
    let mut head = if first > 0 {
        log(206);
        format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {first}-{}/{total}\r\n",
            total - 1
        )
    } else {
        log(200);
        "HTTP/1.1 200 OK\r\n".to_owned()
    };
    head.extend(["ETag: ", etag.as_str(), "\r\n"]);
    let full = format!("Content-Length: {}\r\n\r\n", body.len());
    match fault {
        Some(Fault::Endless) => {
            head += "Connection: close\r\n\r\n";
            stream.write_all(head.as_bytes()).ok()?;
            while stream.write_all(body).is_ok() {}
            None
        }
        Some(Fault::Stall(length)) => {
            head += &full;
            stream.write_all(head.as_bytes()).ok()?;
            stream.write_all(&body[..length]).ok()?;
            thread::park();
            None
        }
        Some(Fault::Cut(length)) => {
            head += &full;
            stream.write_all(head.as_bytes()).ok()?;
            stream.write_all(&body[..length]).ok()?;
            None
        }
        _ => {
            head += &full;
            stream.write_all(head.as_bytes()).ok()?;
            stream.write_all(body).ok()
        }
    }
}
