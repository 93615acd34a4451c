use std::collections::HashMap;
use std::fmt;
use std::io::Write;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;

use crate::event::{Event, SpanId};
use crate::reporter::Sink;

/// Progress of one span is written at most this often, so that a reader is never flooded.
const INTERVAL: Duration = Duration::from_millis(200);

/// Writes one JSON object per line: `{"version":1,"time":"…Z","event":"started",…}`.
pub struct JsonLines<W> {
    state: Mutex<State<W>>,
}

struct State<W> {
    writer: W,
    last: HashMap<SpanId, Instant>,
}

#[derive(Serialize)]
struct Line<'a> {
    version: u32,
    time: String,
    #[serde(flatten)]
    event: &'a Event,
}

impl<W: Write + Send> JsonLines<W> {
    /// Writes to `writer`, flushing after each line.
    pub fn new(writer: W) -> Self {
        Self {
            state: Mutex::new(State {
                writer,
                last: HashMap::new(),
            }),
        }
    }
}

impl<W: Write + Send> Sink for JsonLines<W> {
    fn emit(&self, event: &Event) {
        let Ok(mut state) = self.state.lock() else {
            return;
        };
        match event {
            Event::Progress { span, .. } => {
                let now = Instant::now();
                if state
                    .last
                    .get(span)
                    .is_some_and(|last| now.duration_since(*last) < INTERVAL)
                {
                    return;
                }
                state.last.insert(*span, now);
            }
            Event::Finished { span, .. } => {
                state.last.remove(span);
            }
            _ => {}
        }
        let line = Line {
            version: 1,
            time: Timestamp::now().to_string(),
            event,
        };
        if let Ok(mut text) = serde_json::to_vec(&line) {
            text.push(b'\n');
            // A reader that went away must not stop the work.
            let _ = state
                .writer
                .write_all(&text)
                .and_then(|()| state.writer.flush());
        }
    }
}

impl<W> fmt::Debug for JsonLines<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JsonLines")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Unit;
    use crate::reporter::Reporter;
    use std::io;
    use std::sync::Arc;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn writes_a_thread_of_events_with_progress_limited() {
        let shared = Shared::default();
        let reporter = Reporter::new(JsonLines::new(shared.clone()));
        let span = reporter.start_counted("fetch", "Fetching", Some(100), Unit::Bytes);
        for _ in 0..100 {
            span.advance(1);
        }
        span.reporter().warn("odd", Some("look".into()));
        span.finish("Fetched");
        drop(reporter.start("unpack", "Unpacking"));

        let text = String::from_utf8(shared.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let kinds: Vec<_> = lines
            .iter()
            .map(|line| line["event"].as_str().unwrap())
            .collect();
        assert_eq!(kinds.first(), Some(&"started"));
        assert!(kinds.iter().filter(|kind| **kind == "progress").count() < 10);
        assert_eq!(
            &kinds[kinds.len() - 4..],
            &["warning", "finished", "started", "finished"]
        );
        assert_eq!(lines.last().unwrap()["outcome"], "failed");
        assert_eq!(lines[0]["version"], 1);
    }
}
