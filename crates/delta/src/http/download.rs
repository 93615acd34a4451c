//! A whole file, read once from its start.

#[cfg(test)]
mod tests;

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use ureq::http::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, IF_RANGE, LAST_MODIFIED, RANGE};
use ureq::{Agent, BodyReader};

use super::multipart::ContentRange;
use super::{Failure, field, get, is_passing, send};
use crate::{Error, Result};

/// Bytes that a connection has to bring to count as one that works.
const PROGRESS: u64 = 64 << 10;
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How often a pause looks whether it is to end.
const TICK: Duration = Duration::from_millis(100);
/// Servers that a request may be sent on to.
const REDIRECTS: u32 = 5;

/// How long to wait for a server, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For a name to be resolved, and for a connection to be made.
    pub connect: Duration,
    /// For a response to begin, and for the next bytes of one.
    pub silence: Duration,
    /// Connections in a row that bring less than 64 KiB before the download fails.
    pub attempts: u32,
    /// Before another attempt when one brought less. Doubled before each further one, up to 30 s.
    pub pause: Duration,
}

impl Default for Patience {
    /// 15 s, 30 s, eight attempts, 1 s: an outage of a minute and a half is sat out.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            silence: Duration::from_secs(30),
            attempts: 8,
            pause: Duration::from_secs(1),
        }
    }
}

/// A file on a server, as a reader.
///
/// A connection that breaks is made again for the bytes from there on (`Range`), provided that the file is still the same
/// (`If-Range` with its `ETag`, or its `Last-Modified`). A server that does not do ranges sends the file again, and what is
/// known of it is passed over. Errors of reading wrap a [`crate::Error`].
pub struct Download {
    agent: Agent,
    url: String,
    patience: Patience,
    interrupt: Arc<AtomicBool>,
    file: Option<Identity>,
    body: Option<BodyReader<'static>>,
    /// Offset in the file of the next byte that is handed out.
    position: u64,
    /// Bytes that the response repeats before it comes to `position`.
    repeated: u64,
    failures: u32,
    /// Bytes since the last failure.
    brought: u64,
    complete: bool,
}

/// What tells a file from its next edition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Identity {
    etag: Option<String>,
    modified: Option<String>,
    length: Option<u64>,
}

impl Identity {
    /// What may stand in `If-Range` (RFC 9110, section 13.1.5). A date is taken even where it may be too coarse: the
    /// digests in what is downloaded notice a mixture.
    fn validator(&self) -> Option<&str> {
        let strong = self.etag.as_deref().filter(|tag| !tag.starts_with("W/"));
        strong.or(self.modified.as_deref())
    }

    /// Whether `other` can be the same file.
    fn agrees(&self, other: &Self) -> bool {
        fn both<T: PartialEq>(a: Option<&T>, b: Option<&T>) -> Option<bool> {
            Some(a? == b?)
        }
        let length = both(self.length.as_ref(), other.length.as_ref());
        let same = both(self.etag.as_ref(), other.etag.as_ref())
            .or_else(|| both(self.modified.as_ref(), other.modified.as_ref()));
        length != Some(false) && same != Some(false)
    }
}

impl Download {
    /// Prepares to read the file at `url`. Asks nothing yet. `interrupt` is looked at between connections and reads.
    pub fn new(url: impl Into<String>, patience: Patience, interrupt: Arc<AtomicBool>) -> Self {
        let config = Agent::config_builder()
            .proxy(None)
            .timeout_resolve(Some(patience.connect))
            .timeout_connect(Some(patience.connect))
            .timeout_send_request(Some(patience.silence))
            .timeout_recv_response(Some(patience.silence))
            .timeout_per_read(Some(patience.silence))
            .max_redirects(REDIRECTS)
            .max_idle_connections(0)
            .user_agent(concat!("bedstone/", env!("CARGO_PKG_VERSION")))
            .build();
        Self {
            agent: config.into(),
            url: url.into(),
            patience,
            interrupt,
            file: None,
            body: None,
            position: 0,
            repeated: 0,
            failures: 0,
            brought: 0,
            complete: false,
        }
    }

    fn read_some(&mut self, buffer: &mut [u8]) -> std::result::Result<usize, Failure> {
        let mut body = match self.body.take() {
            Some(body) => body,
            None => self.ask()?,
        };
        let passing = |error: io::Error| Failure::Passing(error.to_string());
        while self.repeated > 0 {
            let piece = self.repeated.min(buffer.len() as u64) as usize;
            let read = body.read(&mut buffer[..piece]).map_err(passing)?;
            if read == 0 {
                return Err(ended_early());
            }
            self.repeated -= read as u64;
            self.check_interrupt()?;
        }
        let read = body.read(buffer).map_err(passing)?;
        if read == 0 {
            let length = self.file.as_ref().and_then(|file| file.length);
            if length.is_some_and(|length| self.position < length) {
                return Err(ended_early());
            }
            self.complete = true;
            return Ok(0);
        }
        self.position += read as u64;
        self.body = Some(body);
        Ok(read)
    }

    /// Asks for the file from `position` on.
    fn ask(&mut self) -> std::result::Result<BodyReader<'static>, Failure> {
        let mut request = get(&self.agent, &self.url);
        if self.position > 0 {
            request = request.header(RANGE, format!("bytes={}-", self.position));
            if let Some(validator) = self.file.as_ref().and_then(Identity::validator) {
                request = request.header(IF_RANGE, validator);
            }
        }
        let response = send(request, &self.url)?;
        let status = response.status().as_u16();
        let refused = |reason: &str| {
            Failure::Final(Error::Refused {
                url: self.url.clone(),
                status,
                reason: reason.to_owned(),
            })
        };
        let changed = || {
            Failure::Final(Error::Changed {
                url: self.url.clone(),
            })
        };
        let mut identity = Identity {
            etag: field(&response, ETAG).map(str::to_owned),
            modified: field(&response, LAST_MODIFIED).map(str::to_owned),
            length: None,
        };
        let start = match status {
            200 => {
                identity.length = field(&response, CONTENT_LENGTH).and_then(|it| it.parse().ok());
                0
            }
            206 if self.position > 0 => {
                let part = field(&response, CONTENT_RANGE)
                    .and_then(ContentRange::parse)
                    .ok_or_else(|| refused("without a `Content-Range` that can be read"))?;
                if part.start > self.position {
                    return Err(refused("with other bytes than those asked for"));
                }
                identity.length = part.total;
                part.start
            }
            // There are no bytes from there on.
            412 | 416 if self.position > 0 => return Err(changed()),
            _ if is_passing(status) => {
                return Err(Failure::Passing(format!("it answers {status}")));
            }
            _ => return Err(refused("not the file")),
        };
        match &self.file {
            Some(known) if !known.agrees(&identity) => return Err(changed()),
            Some(_) => {}
            None => self.file = Some(identity),
        }
        self.repeated = self.position - start;
        Ok(response.into_body().into_reader())
    }

    fn check_interrupt(&self) -> std::result::Result<(), Failure> {
        if self.interrupt.load(Ordering::Relaxed) {
            return Err(Failure::Final(Error::Interrupted));
        }
        Ok(())
    }

    /// Counts a failure, and waits before the next attempt.
    fn failed(&mut self, reason: String) -> Result<()> {
        self.body = None;
        let worked = self.brought >= PROGRESS;
        self.brought = 0;
        self.failures += 1;
        if self.failures >= self.patience.attempts.max(1) {
            return Err(Error::Connection {
                url: self.url.clone(),
                reason,
            });
        }
        if worked {
            return Ok(());
        }
        let doubled = 1_u32
            .checked_shl(self.failures - 1)
            .and_then(|factor| self.patience.pause.checked_mul(factor));
        let mut left = doubled.unwrap_or(LONGEST_PAUSE).min(LONGEST_PAUSE);
        while !left.is_zero() && !self.interrupt.load(Ordering::Relaxed) {
            let tick = left.min(TICK);
            thread::sleep(tick);
            left -= tick;
        }
        Ok(())
    }
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Download")
            .field("url", &self.url)
            .field("file", &self.file)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

fn ended_early() -> Failure {
    Failure::Passing("the connection ended early".to_owned())
}

impl Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || self.complete {
            return Ok(0);
        }
        loop {
            match self.check_interrupt().and_then(|()| self.read_some(buffer)) {
                Ok(read) => {
                    self.brought += read as u64;
                    if self.brought >= PROGRESS {
                        self.failures = 0;
                    }
                    return Ok(read);
                }
                Err(Failure::Passing(reason)) => self.failed(reason).map_err(io::Error::other)?,
                Err(Failure::Final(error)) => return Err(io::Error::other(error)),
            }
        }
    }
}
