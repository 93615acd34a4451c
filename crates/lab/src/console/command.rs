//! Logging in and running commands over a console that echoes and that the kernel writes on.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bedstone_store::Digest;

use super::pattern::{Pattern, position};
use super::{Console, Match};
use crate::error::{Error, Result};

/// Longest piece of a command that is typed in one line, in bytes: canonical terminals take 4095 a line, the line editor
/// of busybox 1023.
const PIECE: usize = 512;
/// How often damaged output is asked for again.
const TRIES: usize = 4;
/// How long a shell may take to answer before it is asked again, while logging in.
const PATIENCE: Duration = Duration::from_secs(4);

/// Runs the coded command in `BC`, and leaves its coded output and exit status in `BO`.
const RUN: &str = r#"BO=$( { sh -c "$(printf %s "$BC" | base64 -d)" </dev/null 2>&1; printf '\n%d' $?; } | base64)"#;

/// What a command did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its exit status.
    pub status: i32,
    /// What it wrote to its standard output and error, in order.
    pub bytes: Vec<u8>,
}

impl Output {
    /// The output as text, without the last line end.
    pub fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        text.strip_suffix('\n').unwrap_or(&text).to_owned()
    }
}

impl Console {
    /// Logs in at a login prompt, which must be on the console or come within `limit`, and waits for the shell.
    ///
    /// # Errors
    /// [`Error::Login`] when the guest refuses.
    pub fn login(&mut self, user: &str, password: Option<&str>, limit: Duration) -> Result<()> {
        let begun = Instant::now();
        let left = || limit.saturating_sub(begun.elapsed());
        self.expect(" login: ", left())?;
        self.send_line(user)?;
        if let Some(password) = password {
            self.expect("assword:", left())?;
            self.send_line(password)?;
        }
        self.wait_for_shell(limit.saturating_sub(begun.elapsed()))
            .map_err(|error| match error {
                Error::Login(_) => Error::Login(user.to_owned()),
                error => error,
            })
    }

    /// Waits until a shell answers. Asks again where an answer stays away, because a program that starts throws away
    /// what was typed before.
    pub fn wait_for_shell(&mut self, limit: Duration) -> Result<()> {
        let begun = Instant::now();
        loop {
            let nonce = self.nonce();
            // Without quotes: whatever part of it gets lost, the rest is a line of its own.
            let asked = nonce.replace('-', "-${NONE}");
            self.send_line(&format!(" echo @{asked}@ready@"))?;
            let left = limit.saturating_sub(begun.elapsed());
            let answer = Pattern::text(format!("@{nonce}@ready@")).or("Login incorrect".into());
            match self.expect(answer, left.min(PATIENCE)) {
                Ok(Match { alternative: 0, .. }) => return Ok(()),
                Ok(_) => return Err(Error::Login(String::new())),
                Err(Error::Timeout { tail, .. }) if left <= PATIENCE => {
                    return Err(Error::Timeout {
                        what: "a shell".into(),
                        limit,
                        tail,
                    });
                }
                Err(Error::Timeout { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Runs a command in the shell that listens on the console, and gives its output and exit status.
    ///
    /// The command is any shell text and runs in a `sh` of its own without input; it ends when all its processes have
    /// closed their output, so that one left behind must write elsewhere. Both ways are coded in base64, the
    /// output with its SHA-256, so that echo, line editing, other messages and wrapping do no harm: kernel messages are
    /// cut out, anything else makes the guest send the output again. Needs `base64`, `sha256sum`, `tr` and `cut` there.
    ///
    /// # Errors
    /// [`Error::Timeout`] when the command takes longer than `limit`; it was then sent a Ctrl-C.
    pub fn run(&mut self, command: &str, limit: Duration) -> Result<Output> {
        let begun = Instant::now();
        let code = STANDARD.encode(command);
        let (last, pieces) = split_last(code.as_bytes());
        let mut variable = "BC=";
        for piece in pieces {
            let nonce = self.nonce();
            self.send_line(&format!(
                " {variable}{piece}; printf '\\n@%s@%s@\\n' {nonce} more"
            ))?;
            self.expect(
                Pattern::text(format!("@{nonce}@more@")),
                limit.saturating_sub(begun.elapsed()),
            )?;
            variable = "BC=${BC}";
        }
        self.send(format!(" {variable}{last}; {RUN}; ").as_bytes())?;
        for _ in 0..TRIES {
            let nonce = self.nonce();
            self.send_line(&format!(
                "printf '\\n@%s@%s.%s@\\n' {nonce} \"$BO\" \"$(printf %s \"$BO\" | tr -d '\\n' | sha256sum | cut -c 1-64)\""
            ))?;
            let mark = format!("@{nonce}@");
            let frame = self.wait(
                &format!("the end of `{command}`"),
                limit.saturating_sub(begun.elapsed()),
                |transcript| {
                    let frame = frame(transcript.unread(), mark.as_bytes())?;
                    transcript.skip();
                    Some(frame)
                },
            );
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => {
                    if matches!(error, Error::Timeout { .. }) {
                        self.send(b"\x03")?;
                    }
                    return Err(error);
                }
            };
            if let Some(output) = decode(&frame) {
                return Ok(output);
            }
        }
        Err(Error::Damaged(command.to_owned()))
    }

    /// Sets the guest's clock, which stands still while a machine is saved, to `seconds` after 1970.
    pub fn set_clock(&mut self, seconds: u64, limit: Duration) -> Result<()> {
        let output = self.run(&format!("date -u -s @{seconds}"), limit)?;
        if output.status == 0 {
            return Ok(());
        }
        Err(Error::Strange {
            program: "date".into(),
            answer: output.text(),
        })
    }

    /// A word that was not on this console before. The line that asks for it never holds it between two `@`.
    fn nonce(&mut self) -> String {
        self.commands += 1;
        format!("bedstone-{}", self.commands)
    }
}

/// Cuts `code` into pieces of at most [`PIECE`] bytes: the last one, and those before it.
fn split_last(code: &[u8]) -> (String, Vec<String>) {
    let mut pieces: Vec<String> = code
        .chunks(PIECE)
        .map(|piece| String::from_utf8_lossy(piece).into_owned())
        .collect();
    (pieces.pop().unwrap_or_default(), pieces)
}

/// The bytes between `mark` and the next `@`, without kernel messages and white space; `None` until the end has come.
fn frame(text: &[u8], mark: &[u8]) -> Option<Vec<u8>> {
    let clean = without_messages(text);
    let begin = position(&clean, mark, 0)? + mark.len();
    let end = position(&clean, b"@", begin)?;
    Some(clean[begin..end].to_vec())
}

/// Kernel messages, `[  123.456789] …` up to the line's end, cut out wherever they begin, and all white space. Frames
/// hold no bracket, so that nothing of theirs is lost.
fn without_messages(text: &[u8]) -> Vec<u8> {
    let mut clean = Vec::with_capacity(text.len());
    let mut in_message = false;
    for &byte in text {
        match byte {
            b'[' => in_message = true,
            b'\n' => in_message = false,
            _ if in_message || byte.is_ascii_whitespace() => {}
            _ => clean.push(byte),
        }
    }
    clean
}

/// `BASE64.SHA256` of the output, a line feed and the exit status.
fn decode(frame: &[u8]) -> Option<Output> {
    let dot = frame.iter().position(|byte| *byte == b'.')?;
    let (code, digest) = (&frame[..dot], &frame[dot + 1..]);
    if Digest::of(code).to_string().as_bytes() != digest {
        return None;
    }
    let mut bytes = STANDARD.decode(code).ok()?;
    let end = bytes.iter().rposition(|byte| *byte == b'\n')?;
    let status = std::str::from_utf8(&bytes[end + 1..]).ok()?.parse().ok()?;
    bytes.truncate(end);
    Some(Output { status, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sent(output: &[u8], status: i32) -> String {
        let mut bytes = output.to_vec();
        bytes.extend_from_slice(format!("\n{status}").as_bytes());
        let code = STANDARD.encode(&bytes);
        let digest = Digest::of(code.as_bytes());
        let lines: Vec<String> = code
            .as_bytes()
            .chunks(76)
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect();
        format!("\n@n-1@{}.{digest}@\n# ", lines.join("\n"))
    }

    #[test]
    fn damage_is_noticed() {
        let good = sent(b"hello\n", 3);
        let output = decode(&frame(good.as_bytes(), b"@n-1@").unwrap()).unwrap();
        assert_eq!((output.text().as_str(), output.status), ("hello", 3));
        let bad = good.replacen('@', "@x", 2);
        assert_eq!(decode(&frame(bad.as_bytes(), b"@xn-1@").unwrap()), None);
        assert_eq!(frame(b"@n-1@aGVs", b"@n-1@"), None);
        assert_eq!(frame(b" printf '\n@%s@%s@' n-1 ready", b"@n-1@"), None);
    }

    proptest! {
        #[test]
        fn any_output_comes_through_kernel_messages(
            output in prop::collection::vec(any::<u8>(), 0..300), status in 0i32..256,
            at in prop::collection::btree_set(0usize..600, 0..5),
        ) {
            let mut text = sent(&output, status);
            // From the end, because messages do not interrupt each other.
            for at in at.into_iter().rev() {
                text.insert_str(at.min(text.len()), "[   12.345678] audit: type=1400 @n-1@\n");
            }
            let frame = frame(text.as_bytes(), b"@n-1@").unwrap();
            prop_assert_eq!(decode(&frame), Some(Output { status, bytes: output }));
        }

        #[test]
        fn any_text_is_a_frame_or_none(text in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(frame) = frame(&text, b"@") {
                let _ = decode(&frame);
            }
        }
    }
}
