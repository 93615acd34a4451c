use serde_json::{Map, Value};

use super::Error;

/// One message from QEMU.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// The first message on a connection: QEMU's version as major, minor, micro.
    Greeting([u64; 3]),
    /// A command succeeded.
    Return {
        /// The `id` that the command was sent with.
        id: Option<u64>,
        /// What it returned.
        value: Value,
    },
    /// A command failed.
    Error {
        /// The `id` that the command was sent with; missing when QEMU could not read the command at all.
        id: Option<u64>,
        /// The class of error.
        class: String,
        /// The reason, for people.
        description: String,
    },
    /// Something happened that nobody asked for.
    Event {
        /// The event's name, in capitals: `RESET`.
        name: String,
        /// What it carries.
        data: Map<String, Value>,
    },
}

impl Message {
    /// Reads one line.
    ///
    /// # Errors
    /// [`Error::Json`] and [`Error::Strange`].
    pub fn parse(line: &[u8]) -> Result<Self, Error> {
        let strange = || {
            let text = String::from_utf8_lossy(line);
            Error::Strange(text.chars().take(200).collect())
        };
        let Value::Object(mut object) = serde_json::from_slice(line)? else {
            return Err(strange());
        };
        let id = object.get("id").and_then(Value::as_u64);
        if let Some(value) = object.remove("return") {
            return Ok(Self::Return { id, value });
        }
        if let Some(error) = object.get("error") {
            let text = |name: &str| error.get(name).and_then(Value::as_str).map(str::to_owned);
            return Ok(Self::Error {
                id,
                class: text("class").ok_or_else(strange)?,
                description: text("desc").ok_or_else(strange)?,
            });
        }
        if let Some(name) = object.get("event") {
            let name = name.as_str().ok_or_else(strange)?.to_owned();
            let data = match object.remove("data") {
                Some(Value::Object(data)) => data,
                Some(_) => return Err(strange()),
                None => Map::new(),
            };
            return Ok(Self::Event { name, data });
        }
        let version = object
            .get("QMP")
            .and_then(|greeting| greeting.get("version")?.get("qemu"))
            .ok_or_else(strange)?;
        let number = |name: &str| version.get(name).and_then(Value::as_u64);
        match (number("major"), number("minor"), number("micro")) {
            (Some(major), Some(minor), Some(micro)) => Ok(Self::Greeting([major, minor, micro])),
            _ => Err(strange()),
        }
    }
}

/// Cuts a stream of bytes into lines of at most [`Framer::LIMIT`] bytes.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: Vec<u8>,
}

impl Framer {
    /// The longest line accepted, in bytes; QEMU's own limit for what it reads is 64 MiB, what it says stays below 1 MiB.
    pub const LIMIT: usize = 4 << 20;

    /// Takes the next bytes of the stream, of any length, and gives the lines that they complete, without their ends.
    ///
    /// # Errors
    /// [`Error::TooLong`]; the connection is of no use afterwards.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
        let mut lines = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.buffer.extend_from_slice(piece);
            if self.buffer.len() > Self::LIMIT {
                return Err(Error::TooLong(Self::LIMIT));
            }
            if piece.ends_with(b"\n") {
                let mut line = std::mem::take(&mut self.buffer);
                while line.last().is_some_and(u8::is_ascii_whitespace) {
                    line.pop();
                }
                if !line.is_empty() {
                    lines.push(line);
                }
            }
        }
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_qemu_says() {
        let greeting = br#"{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian"}, "capabilities": ["oob"]}}"#;
        assert_eq!(
            Message::parse(greeting).unwrap(),
            Message::Greeting([7, 2, 22])
        );
        assert_eq!(
            Message::parse(br#"{"return": {}, "id": 3}"#).unwrap(),
            Message::Return {
                id: Some(3),
                value: Value::Object(Map::new())
            }
        );
        assert_eq!(
            Message::parse(br#"{"id": 4, "error": {"class": "CommandNotFound", "desc": "no"}}"#)
                .unwrap(),
            Message::Error {
                id: Some(4),
                class: "CommandNotFound".into(),
                description: "no".into()
            }
        );
        let event = br#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "RESET", "data": {"guest": true, "reason": "guest-reset"}}"#;
        let Message::Event { name, data } = Message::parse(event).unwrap() else {
            panic!("an event");
        };
        assert_eq!(
            (name.as_str(), &data["reason"]),
            ("RESET", &"guest-reset".into())
        );
    }

    #[test]
    fn refuses_what_is_no_message() {
        for line in [
            "",
            "1",
            "[]",
            "{}",
            "{\"event\": 1}",
            "{\"error\": {}}",
            "{\"QMP\": {}}",
            "{\"event\": \"X\", \"data\": []}",
        ] {
            assert!(Message::parse(line.as_bytes()).is_err(), "{line}");
        }
        let deep = "[".repeat(100_000);
        assert!(Message::parse(deep.as_bytes()).is_err());
    }

    #[test]
    fn bounds_a_line() {
        let mut framer = Framer::default();
        let half = vec![b'x'; Framer::LIMIT / 2];
        framer.push(&half).unwrap();
        framer.push(&half).unwrap();
        assert!(matches!(framer.push(b"x"), Err(Error::TooLong(_))));
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Message::parse(&bytes);
        }

        #[test]
        fn damaged_messages_never_panic(at in 0usize..90, byte: u8, length in 0usize..90) {
            let mut line = br#"{"timestamp": {"seconds": 1}, "event": "RESET", "data": {"guest": true}, "id": 1}"#.to_vec();
            let at = at % line.len();
            line[at] = byte;
            let _ = Message::parse(&line[..length.min(line.len())]);
        }

        #[test]
        fn lines_do_not_depend_on_how_the_stream_is_cut(
            lines in prop::collection::vec("[a-z]{1,9}", 0..9), cuts in prop::collection::vec(1usize..7, 0..30),
        ) {
            let stream: Vec<u8> = lines.iter().flat_map(|line| format!("{line}\r\n").into_bytes()).collect();
            let mut framer = Framer::default();
            let mut found = Vec::new();
            let mut rest = stream.as_slice();
            for cut in cuts {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                found.extend(framer.push(now).unwrap());
                rest = later;
            }
            found.extend(framer.push(rest).unwrap());
            let expected: Vec<Vec<u8>> = lines.into_iter().map(String::into_bytes).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
