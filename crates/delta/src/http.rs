//! The ranges of a file on an HTTP server (RFC 9110, section 14), whichever way that server answers.
//!
//! Many ranges are asked for in one request. A server may answer with all of them as parts (`multipart/byteranges`),
//! with one of them, with a range that spans them, with the whole file, or with an error: [`Ranges`] makes the best of
//! it, first by asking for one range at a time, in the end by reading the file from its start. A connection that breaks
//! is made again where it broke. [`Download`] reads a whole file in the same way.

mod download;
mod multipart;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::ops::Range;
use std::time::Duration;

use ureq::http::header::{CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, HeaderName};
use ureq::{Agent, BodyReader, RequestBuilder};

use crate::zchunk::Body;
use crate::{Error, Result};
pub use download::{Download, Patience};
use multipart::{ContentRange, boundary, next_part};

/// How to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Ranges in one request. Servers limit their number, or the length of the header, 22 bytes each.
    pub ranges_per_request: usize,
    /// Requests in a row that bring nothing before the download fails.
    pub attempts: u32,
}

impl Default for Options {
    /// 100 ranges, three attempts.
    fn default() -> Self {
        Self {
            ranges_per_request: 100,
            attempts: 3,
        }
    }
}

/// How long is waited for an answer, or for the next bytes of one.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client for one file: a server that is silent for 30 seconds is given up, redirections are followed, no proxy is asked.
pub fn client() -> Agent {
    Agent::config_builder()
        .proxy(None)
        .timeout_connect(Some(PATIENCE))
        .timeout_per_read(Some(PATIENCE))
        .timeout_per_write(Some(PATIENCE))
        .build()
        .into()
}

/// What the server has turned out to understand. It only ever gets less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Multiple,
    Single,
    Whole,
}

/// Some ranges of a file on a server, read in rising order.
#[derive(Debug)]
pub struct Ranges {
    agent: Agent,
    url: String,
    options: Options,
    wanted: VecDeque<Range<u64>>,
    style: Style,
    response: Option<Response>,
    /// Length of the file, once a server has told it.
    total: Option<u64>,
    received: u64,
}

/// A response that is being read.
struct Response {
    reader: BufReader<BodyReader<'static>>,
    /// What separates parts, when there are any.
    boundary: Option<String>,
    /// Parts that are still believed in.
    parts: usize,
    /// Offset in the file of the next byte.
    position: u64,
    /// End of the part being read; unknown for a whole file.
    end: Option<u64>,
}

/// Why a request brought nothing.
enum Trouble {
    /// It may work the next time.
    Passing(String),
    /// The server wants to be asked in a simpler way.
    Style(Style),
    /// There is no point in asking again.
    Final(Error),
}

/// Why there is no response, or none that is of use.
enum Failure {
    /// It may work the next time.
    Passing(String),
    /// There is no point in asking again.
    Final(Error),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Passing(reason) => Self::Passing(reason),
            Failure::Final(error) => Self::Final(error),
        }
    }
}

/// A request for bytes as they are, whose answer is looked at whatever its status.
fn get(agent: &Agent, url: &str) -> RequestBuilder<ureq::typestate::WithoutBody> {
    agent
        .get(url)
        .config()
        .http_status_as_error(false)
        .build()
        .header("Accept-Encoding", "identity")
}

/// Sends a request. A response in an encoding is of no use: nobody asked for one.
fn send(
    request: RequestBuilder<ureq::typestate::WithoutBody>,
    url: &str,
) -> std::result::Result<ureq::http::Response<ureq::Body>, Failure> {
    let response = request.call().map_err(|error| match error {
        ureq::Error::BadUri(_)
        | ureq::Error::Tls(_)
        | ureq::Error::TlsRequired
        | ureq::Error::TooManyRedirects
        | ureq::Error::RedirectFailed => Failure::Final(Error::Connection {
            url: url.to_owned(),
            reason: error.to_string(),
        }),
        other => Failure::Passing(other.to_string()),
    })?;
    match field(&response, CONTENT_ENCODING) {
        None | Some("identity") => Ok(response),
        Some(encoding) => Err(Failure::Final(Error::Refused {
            url: url.to_owned(),
            status: response.status().as_u16(),
            reason: format!("bytes in the encoding `{encoding}`, which was not asked for"),
        })),
    }
}

/// The value of a header field, if it is text.
fn field(response: &ureq::http::Response<ureq::Body>, name: HeaderName) -> Option<&str> {
    response.headers().get(name)?.to_str().ok()
}

/// Whether a status says that the server may answer otherwise later.
fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500..600)
}

impl Ranges {
    /// Prepares to read `ranges`, which rise and do not overlap, of the file at `url`. Asks nothing yet.
    ///
    /// `agent` brings timeouts, proxy, certificates.
    pub fn new(
        agent: Agent,
        url: impl Into<String>,
        ranges: impl IntoIterator<Item = Range<u64>>,
        options: Options,
    ) -> Self {
        Self {
            agent,
            url: url.into(),
            options,
            wanted: ranges
                .into_iter()
                .filter(|range| !range.is_empty())
                .collect(),
            style: Style::Multiple,
            response: None,
            total: None,
            received: 0,
        }
    }

    /// Bytes of the file received so far, those that were not asked for included.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Reads some bytes from `offset` on.
    fn read_some(&mut self, buffer: &mut [u8], offset: u64) -> std::result::Result<usize, Trouble> {
        let (mut response, fresh) = match self.response.take() {
            Some(response) => (response, false),
            None => (self.request(offset..offset + buffer.len() as u64)?, true),
        };
        while response.end.is_some_and(|end| end <= offset) {
            match response.next_part()? {
                Some(part) => {
                    self.agree_on_total(part.total)?;
                    response.position = part.start;
                    response.end = Some(part.end);
                }
                None if fresh => {
                    return Err(Trouble::Passing(
                        "the response lacks the bytes asked for".to_owned(),
                    ));
                }
                // It has been used up.
                None => {
                    response.finish();
                    return self.read_some(buffer, offset);
                }
            }
        }
        if response.position > offset {
            // Parts in another order, or not all of them.
            return Err(Trouble::Style(self.style.simpler()));
        }
        self.received += response.skip_to(offset)?;
        let length = response
            .end
            .map_or(buffer.len() as u64, |end| end - offset)
            .min(buffer.len() as u64) as usize;
        let read = loop {
            match response.reader.read(&mut buffer[..length]) {
                Ok(read) => break read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Trouble::Passing(error.to_string())),
            }
        };
        if read == 0 {
            return Err(Trouble::Passing("the connection ended early".to_owned()));
        }
        response.position += read as u64;
        self.received += read as u64;
        self.response = Some(response);
        Ok(read)
    }

    /// Asks for what is wanted from `needed.start` on.
    fn request(&mut self, needed: Range<u64>) -> std::result::Result<Response, Trouble> {
        while self
            .wanted
            .front()
            .is_some_and(|range| range.end <= needed.start)
        {
            self.wanted.pop_front();
        }
        let number = match self.style {
            Style::Multiple => self.options.ranges_per_request.max(1),
            Style::Single | Style::Whole => 1,
        };
        let mut ranges: Vec<_> = self.wanted.iter().take(number).cloned().collect();
        match ranges.first_mut() {
            Some(first) if first.start <= needed.start => first.start = needed.start,
            _ => ranges = vec![needed.clone()],
        }
        let mut request = get(&self.agent, &self.url);
        if self.style != Style::Whole {
            let list: Vec<_> = ranges
                .iter()
                .map(|range| format!("{}-{}", range.start, range.end - 1))
                .collect();
            request = request.header("Range", format!("bytes={}", list.join(",")));
        }
        let response = send(request, &self.url)?;
        self.understand(response, &ranges)
    }

    /// Finds out what a response is about.
    fn understand(
        &mut self,
        response: ureq::http::Response<ureq::Body>,
        asked: &[Range<u64>],
    ) -> std::result::Result<Response, Trouble> {
        let status = response.status().as_u16();
        let refused = |reason: String| {
            Trouble::Final(Error::Refused {
                url: self.url.clone(),
                status,
                reason,
            })
        };
        let type_boundary = field(&response, CONTENT_TYPE).and_then(boundary);
        let content_range = field(&response, CONTENT_RANGE).map(str::to_owned);
        let (boundary, position, end) = match status {
            206 if type_boundary.is_some() => (type_boundary, 0, Some(0)),
            206 => {
                let part = content_range
                    .as_deref()
                    .and_then(ContentRange::parse)
                    .ok_or_else(|| {
                        refused("without a `Content-Range` that can be read".to_owned())
                    })?;
                if part.start > asked[0].start {
                    return Err(match self.style {
                        Style::Multiple if asked.len() > 1 => Trouble::Style(Style::Single),
                        _ => refused(format!(
                            "with bytes from {}, not from {}",
                            part.start, asked[0].start
                        )),
                    });
                }
                self.agree_on_total(part.total)?;
                if asked.last().is_some_and(|last| part.end < last.end) && asked.len() > 1 {
                    self.style = Style::Single;
                }
                (None, part.start, Some(part.end))
            }
            // Too many bytes to read for the sake of some ranges: perhaps the server knows single ones.
            200 if asked.len() > 1 => return Err(Trouble::Style(Style::Single)),
            200 => {
                self.style = Style::Whole;
                (None, 0, None)
            }
            _ if asked.len() > 1
                && (400..500).contains(&status)
                && !matches!(status, 401 | 403 | 404 | 410) =>
            {
                return Err(Trouble::Style(Style::Single));
            }
            _ if is_passing(status) => {
                return Err(Trouble::Passing(format!("it answers {status}")));
            }
            416 => {
                return Err(refused(
                    "the file is shorter than its header says".to_owned(),
                ));
            }
            _ => return Err(refused("not the file".to_owned())),
        };
        Ok(Response {
            reader: BufReader::with_capacity(64 << 10, response.into_body().into_reader()),
            parts: if boundary.is_some() { asked.len() } else { 0 },
            boundary,
            position,
            end,
        })
    }

    /// Fails when the file has changed its length between two responses.
    fn agree_on_total(&mut self, total: Option<u64>) -> std::result::Result<(), Trouble> {
        match (self.total, total) {
            (Some(known), Some(told)) if known != told => Err(Trouble::Final(Error::Refused {
                url: self.url.clone(),
                status: 206,
                reason: format!("the file has {told} bytes and had {known} before"),
            })),
            _ => {
                self.total = self.total.or(total);
                Ok(())
            }
        }
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("position", &self.position)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

impl Style {
    fn simpler(self) -> Self {
        match self {
            Self::Multiple => Self::Single,
            Self::Single | Self::Whole => Self::Whole,
        }
    }
}

impl Response {
    /// The next part, or `None` after the last one.
    fn next_part(&mut self) -> std::result::Result<Option<ContentRange>, Trouble> {
        // Parts that were not asked for could go on for ever.
        if self.boundary.is_none() || self.parts == 0 {
            return Ok(None);
        }
        self.parts -= 1;
        if let Some(end) = self.end {
            self.skip_bytes(end.saturating_sub(self.position))?;
            self.position = end;
        }
        let boundary = self.boundary.as_deref().unwrap_or_default();
        next_part(&mut self.reader, boundary).map_err(|error| Trouble::Passing(error.to_string()))
    }

    /// Reads the little that may follow, so that the connection can be used again.
    fn finish(mut self) {
        let mut rest = [0; 1024];
        // Should it fail, there will be another connection.
        let _ = self
            .reader
            .read(&mut rest)
            .and_then(|_| self.reader.read(&mut rest));
    }

    /// Passes over bytes up to `offset`; returns how many they were.
    fn skip_to(&mut self, offset: u64) -> std::result::Result<u64, Trouble> {
        let skipped = offset - self.position;
        self.skip_bytes(skipped)?;
        self.position = offset;
        Ok(skipped)
    }

    fn skip_bytes(&mut self, mut length: u64) -> std::result::Result<(), Trouble> {
        while length > 0 {
            let available = self
                .reader
                .fill_buf()
                .map_err(|error| Trouble::Passing(error.to_string()))?
                .len() as u64;
            if available == 0 {
                return Err(Trouble::Passing("the connection ended early".to_owned()));
            }
            let piece = available.min(length);
            self.reader.consume(piece as usize);
            length -= piece;
        }
        Ok(())
    }
}

impl Body for Ranges {
    fn read_exact_at(&mut self, buffer: &mut [u8], offset: u64) -> Result<()> {
        let mut done = 0;
        let mut failures = 0;
        while done < buffer.len() {
            let reason = match self.read_some(&mut buffer[done..], offset + done as u64) {
                Ok(read) => {
                    done += read;
                    failures = 0;
                    continue;
                }
                Err(Trouble::Style(style)) if style != self.style => {
                    self.style = style;
                    continue;
                }
                Err(Trouble::Style(_)) => "it sends other bytes than asked for".to_owned(),
                Err(Trouble::Passing(reason)) => reason,
                Err(Trouble::Final(error)) => return Err(error),
            };
            failures += 1;
            if failures >= self.options.attempts.max(1) {
                return Err(Error::Connection {
                    url: self.url.clone(),
                    reason,
                });
            }
        }
        Ok(())
    }
}
