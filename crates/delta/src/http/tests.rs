use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::Error;
use crate::zchunk::Body;

/// How a server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// With parts, as asked.
    Parts,
    /// With parts, the boundary in quotes and mixed case, fields in lower case, text before and after them.
    OddParts,
    /// With parts in the opposite order.
    BackwardParts,
    /// With parts that were joined where they are near each other.
    JoinedParts,
    /// With the first range only.
    First,
    /// With one range from the first to the last byte asked for.
    Span,
    /// To several ranges with the whole file.
    WholeForSeveral,
    /// To several ranges with 416.
    NotSeveral,
    /// With the whole file.
    Whole,
    /// With parts in chunked transfer encoding.
    Chunked,
    /// Every connection breaks after 1000 bytes of body.
    Breaking,
    /// Every connection breaks before the first byte of body.
    Silent,
    /// With 503, twice, then with parts.
    BusyTwice,
    Status(u16),
    /// With a body in another encoding.
    Encoded,
    /// With parts that have nothing to do with what was asked for, for ever.
    Endless,
}

struct Server {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

/// Serves `file`; its thread ends with the test's process.
fn serve(file: Arc<Vec<u8>>, manner: Manner) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/new.zck", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = requests.clone();
    let served = AtomicUsize::new(0);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            // A client that goes away is no concern of the server.
            let _ = answer(
                stream,
                &file,
                manner,
                &seen,
                served.fetch_add(1, Ordering::Relaxed),
            );
        }
    });
    Server { address, requests }
}

fn answer(
    mut stream: TcpStream,
    file: &[u8],
    manner: Manner,
    seen: &Mutex<Vec<String>>,
    number: usize,
) -> std::io::Result<()> {
    let mut range = String::new();
    for line in BufReader::new(&stream).lines() {
        let line = line?;
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(": ")
            && name.eq_ignore_ascii_case("range")
        {
            value.clone_into(&mut range);
        }
    }
    seen.lock().unwrap().push(range.clone());
    let total = file.len();
    let mut ranges: Vec<Range<usize>> = range
        .strip_prefix("bytes=")
        .unwrap_or_default()
        .split(',')
        .filter_map(|range| range.split_once('-'))
        .map(|(first, last)| first.parse().unwrap()..last.parse::<usize>().unwrap() + 1)
        .collect();
    let several = ranges.len() > 1;
    let head = |status: &str, fields: &str, length: usize| {
        format!(
            "HTTP/1.1 {status}\r\n{fields}Content-Length: {length}\r\nConnection: close\r\n\r\n"
        )
    };
    let single = |range: Range<usize>| {
        let fields = format!(
            "Content-Range: bytes {}-{}/{total}\r\n",
            range.start,
            range.end - 1
        );
        let mut bytes = head("206 Partial Content", &fields, range.len()).into_bytes();
        bytes.extend(&file[range]);
        bytes
    };
    let whole = || [head("200 OK", "", total).as_bytes(), file].concat();
    let status = |code: u16| head(&format!("{code} No"), "", 0).into_bytes();
    let response = match manner {
        Manner::Status(code) => status(code),
        Manner::BusyTwice if number < 2 => status(503),
        Manner::NotSeveral if several => status(416),
        Manner::WholeForSeveral if several => whole(),
        Manner::Encoded => head("200 OK", "Content-Encoding: br\r\n", 0).into_bytes(),
        Manner::Silent => head(
            "206 Partial Content",
            &format!(
                "Content-Range: bytes {}-{}/{total}\r\n",
                ranges[0].start,
                ranges[0].end - 1
            ),
            ranges[0].len(),
        )
        .into_bytes(),
        Manner::Whole => whole(),
        Manner::First => single(ranges[0].clone()),
        Manner::Span => single(ranges[0].start..ranges.last().unwrap().end),
        _ if !several && manner != Manner::Endless => single(ranges[0].clone()),
        _ => {
            if manner == Manner::BackwardParts {
                ranges.reverse();
            }
            if manner == Manner::JoinedParts {
                ranges = ranges
                    .chunks(3)
                    .map(|three| three[0].start..three[three.len() - 1].end)
                    .collect();
            }
            if manner == Manner::Endless {
                ranges = vec![0..1; 2000];
            }
            let odd = manner == Manner::OddParts;
            let boundary = if odd {
                "Gr=oss und.klein"
            } else {
                "00000000000000000042"
            };
            let mut body = if odd {
                b"This is text.\r\n--Gr=oss und.klei\r\n".to_vec()
            } else {
                Vec::new()
            };
            for range in ranges {
                let name = if odd {
                    "content-RANGE"
                } else {
                    "Content-Range"
                };
                body.extend(format!("\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\n{name}: bytes {}-{}/{total}\r\n\r\n", range.start, range.end - 1).into_bytes());
                body.extend(&file[range]);
            }
            body.extend(format!("\r\n--{boundary}--").into_bytes());
            if odd {
                body.extend(b" \r\nText behind.\r\n");
            }
            let kind = if odd {
                format!(
                    "Content-Type: Multipart/ByteRanges; charset=none; Boundary=\"{boundary}\"\r\n"
                )
            } else {
                format!("Content-Type: multipart/byteranges; boundary={boundary}\r\n")
            };
            if manner == Manner::Chunked {
                let mut bytes = format!("HTTP/1.1 206 Partial Content\r\n{kind}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n").into_bytes();
                for piece in body.chunks(777) {
                    bytes.extend(format!("{:x}\r\n", piece.len()).into_bytes());
                    bytes.extend(piece);
                    bytes.extend(b"\r\n");
                }
                bytes.extend(b"0\r\n\r\n");
                bytes
            } else {
                [
                    head("206 Partial Content", &kind, body.len()).as_bytes(),
                    &body,
                ]
                .concat()
            }
        }
    };
    let end = if manner == Manner::Breaking {
        let body = response
            .windows(4)
            .position(|it| it == b"\r\n\r\n")
            .unwrap_or(0);
        response.len().min(body + 1000)
    } else {
        response.len()
    };
    stream.write_all(&response[..end])?;
    // Not closed before the client has read it all.
    stream.shutdown(std::net::Shutdown::Write)?;
    std::io::copy(&mut stream.take(1 << 20), &mut std::io::sink())?;
    Ok(())
}

fn agent() -> Agent {
    Agent::config_builder()
        .proxy(None)
        .timeout_global(Some(Duration::from_secs(20)))
        .build()
        .into()
}

fn file() -> Arc<Vec<u8>> {
    Arc::new(
        (0..400_000_u32)
            .flat_map(|it| it.wrapping_mul(2_654_435_761).to_le_bytes())
            .collect(),
    )
}

/// Ranges of 10 to 3000 bytes, 61 of them.
fn wanted() -> Vec<Range<u64>> {
    (0..61_u64)
        .map(|it| it * 26_000..it * 26_000 + 10 + it * 49)
        .collect()
}

/// Reads all of `wanted`, each range in two steps.
fn read(
    server: &Server,
    file: &[u8],
    ranges_per_request: usize,
    attempts: u32,
) -> crate::Result<Ranges> {
    let options = Options {
        ranges_per_request,
        attempts,
    };
    let mut ranges = Ranges::new(agent(), &server.address, wanted(), options);
    for range in wanted() {
        let middle = range.start.midpoint(range.end);
        for range in [range.start..middle, middle..range.end] {
            let mut buffer = vec![0; (range.end - range.start) as usize];
            ranges.read_exact_at(&mut buffer, range.start)?;
            assert!(
                buffer == file[range.start as usize..range.end as usize],
                "{range:?}"
            );
        }
    }
    Ok(ranges)
}

fn bytes_wanted() -> u64 {
    wanted().iter().map(|range| range.end - range.start).sum()
}

#[test]
fn every_manner_of_answering_brings_the_bytes() {
    let file = file();
    for (manner, ranges_per_request, requests) in [
        (Manner::Parts, 100, 1),
        (Manner::Parts, 10, 7),
        (Manner::Parts, 1, 61),
        (Manner::OddParts, 100, 1),
        (Manner::Chunked, 100, 1),
        (Manner::JoinedParts, 100, 1),
        (Manner::Span, 100, 1),
        (Manner::First, 100, 61),
        (Manner::WholeForSeveral, 100, 62),
        (Manner::NotSeveral, 100, 62),
        (Manner::BackwardParts, 100, 62),
        (Manner::Whole, 100, 2),
        (Manner::BusyTwice, 100, 3),
    ] {
        let server = serve(file.clone(), manner);
        let ranges = read(
            &server,
            &file,
            ranges_per_request,
            if manner == Manner::BusyTwice { 3 } else { 1 },
        )
        .unwrap_or_else(|error| panic!("{manner:?}: {error}"));
        assert_eq!(
            server.requests.lock().unwrap().len(),
            requests,
            "{manner:?}"
        );
        let exact = !matches!(manner, Manner::JoinedParts | Manner::Span | Manner::Whole);
        assert_eq!(ranges.received() == bytes_wanted(), exact, "{manner:?}");
    }
}

#[test]
fn broken_connections_are_taken_up_where_they_broke() {
    let file = file();
    let server = serve(file.clone(), Manner::Breaking);
    let ranges = read(&server, &file, 100, 3).unwrap();
    assert_eq!(ranges.received(), bytes_wanted());
    // A part's header takes 120 of the 1000 bytes.
    assert!(server.requests.lock().unwrap().len() > 91);
}

#[test]
fn servers_without_the_bytes_are_given_up() {
    let file = file();
    for (manner, requests) in [
        (Manner::Silent, 3),
        (Manner::Status(500), 3),
        (Manner::Status(404), 1),
        (Manner::Status(403), 1),
        (Manner::Status(400), 2),
        (Manner::Status(204), 1),
        (Manner::Encoded, 1),
    ] {
        let server = serve(file.clone(), manner);
        match read(&server, &file, 100, 3).expect_err("an error") {
            Error::Connection { url, .. } | Error::Refused { url, .. } => {
                assert_eq!(url, server.address);
            }
            other => panic!("{manner:?}: {other}"),
        }
        assert_eq!(
            server.requests.lock().unwrap().len(),
            requests,
            "{manner:?}"
        );
    }
    let server = serve(file.clone(), Manner::Endless);
    assert!(read(&server, &file, 100, 3).is_err());
    assert!(server.requests.lock().unwrap().len() < 10);
    let nobody = Server {
        address: "http://127.0.0.1:1/".to_owned(),
        ..server
    };
    assert!(matches!(
        read(&nobody, &file, 100, 3),
        Err(Error::Connection { .. })
    ));
}

#[test]
fn fields_are_read_as_rfc_9110_has_them() {
    let range = |text: &str| ContentRange::parse(text).map(|it| (it.start, it.end, it.total));
    assert_eq!(range("bytes 0-0/1"), Some((0, 1, Some(1))));
    assert_eq!(range("Bytes  5-9/*"), Some((5, 10, None)));
    for wrong in [
        "bytes */5",
        "bytes 5-4/9",
        "bytes 0-9/9",
        "bytes +1-2/9",
        "items 0-1/2",
        "bytes 0-18446744073709551615/*",
        "",
        "bytes 1-/3",
        "bytes -1/3",
    ] {
        assert_eq!(range(wrong), None, "{wrong}");
    }
    assert_eq!(
        boundary("multipart/byteranges; boundary=abc").as_deref(),
        Some("abc")
    );
    assert_eq!(
        boundary("MULTIPART/byteranges;BOUNDARY=\"A b\"").as_deref(),
        Some("A b")
    );
    assert_eq!(boundary("multipart/byteranges"), None);
    assert_eq!(boundary("multipart/byteranges; boundary="), None);
    assert_eq!(boundary("text/html; boundary=abc"), None);
}

proptest! {
    #[test]
    fn any_multipart_body_is_taken_or_refused(bytes: Vec<u8>, text in "(--abc|\r\n|content-range: bytes |[0-9]{1,20}|[-/]){0,30}", value: String) {
        let _ = next_part(&mut &*bytes, "abc");
        let mut rest = text.as_bytes();
        while let Ok(Some(_)) = next_part(&mut rest, "abc") {}
        let _ = (ContentRange::parse(&value), boundary(&value));
    }
}
