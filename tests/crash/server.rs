//! A web server with one file, as far as zchunk needs one.

#![allow(dead_code, reason = "every test binary uses a part of it")]

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// What separates the parts of an answer.
const BOUNDARY: &str = "part";

/// Serves until the process ends.
#[derive(Debug)]
pub struct Server {
    /// Address of the file.
    pub url: String,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    file: Vec<u8>,
    served: AtomicU64,
    /// Bytes of the file after which every connection breaks.
    budget: AtomicU64,
}

impl Server {
    /// Serves this file on a port of its own.
    pub fn start(file: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!(
            "http://{}/root.zck",
            listener.local_addr().expect("an address")
        );
        let shared = Arc::new(Shared {
            file,
            served: AtomicU64::new(0),
            budget: AtomicU64::new(u64::MAX),
        });
        let own = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that goes away is no concern of the server.
                let _ = own.answer(stream);
            }
        });
        Self { url, shared }
    }

    /// Bytes of the file sent since this was asked last.
    pub fn served(&self) -> u64 {
        self.shared.served.swap(0, Ordering::SeqCst)
    }

    /// Lets every connection break as soon as so many more bytes of the file have been sent.
    pub fn break_after(&self, bytes: u64) {
        self.shared.budget.store(bytes, Ordering::SeqCst);
    }
}

impl Shared {
    fn answer(&self, mut stream: TcpStream) -> io::Result<()> {
        let mut ranges = Vec::new();
        for line in BufReader::new(&stream).lines() {
            let line = line?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(list) = line.strip_prefix("range: bytes=") {
                ranges = list
                    .split(',')
                    .filter_map(|range| {
                        let (first, last) = range.split_once('-')?;
                        Some((first.parse().ok()?, last.parse().ok()?))
                    })
                    .collect::<Vec<(usize, usize)>>();
            }
        }
        let total = self.file.len();
        let place = |(first, last): (usize, usize)| {
            format!("Content-Range: bytes {first}-{last}/{total}\r\n")
        };
        let several = ranges.len() > 1;
        let (kind, heads): (String, Vec<String>) = if several {
            let heads = ranges
                .iter()
                .map(|range| format!("\r\n--{BOUNDARY}\r\n{}\r\n", place(*range)));
            (
                format!("Content-Type: multipart/byteranges; boundary={BOUNDARY}\r\n"),
                heads.collect(),
            )
        } else {
            let Some(range) = ranges.first() else {
                return stream.write_all(
                    b"HTTP/1.1 400 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                );
            };
            (place(*range), vec![String::new()])
        };
        let end = if several {
            format!("\r\n--{BOUNDARY}--\r\n")
        } else {
            String::new()
        };
        let length = ranges
            .iter()
            .map(|(first, last)| last + 1 - first)
            .sum::<usize>()
            + heads.iter().map(String::len).sum::<usize>()
            + end.len();
        write!(
            stream,
            "HTTP/1.1 206 Partial Content\r\n{kind}Content-Length: {length}\r\nConnection: close\r\n\r\n"
        )?;
        for (head, (first, last)) in heads.iter().zip(ranges) {
            stream.write_all(head.as_bytes())?;
            let bytes = &self.file[first..=last];
            let allowed = self
                .budget
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                    Some(left.saturating_sub(bytes.len() as u64))
                })
                .unwrap_or(0)
                .min(bytes.len() as u64);
            self.served.fetch_add(allowed, Ordering::SeqCst);
            stream.write_all(&bytes[..allowed as usize])?;
            if allowed < bytes.len() as u64 {
                return Ok(());
            }
        }
        stream.write_all(end.as_bytes())
    }
}
