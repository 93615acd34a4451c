use std::fs::{self, File, OpenOptions};
use std::io::Write;

/// Where lines go: the kernel's log, from which every console shows them and the journal keeps them.
#[derive(Debug)]
pub(crate) struct Console {
    log: Option<File>,
}

/// Priorities of the kernel's log (`KERN_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Priority {
    Error = 3,
    Warning = 4,
    Info = 6,
}

/// The kernel cuts longer records off (`LOG_LINE_MAX`).
const LONGEST: usize = 900;

impl Console {
    /// Opens `/dev/kmsg`; `/dev` and `/proc` must be mounted.
    pub(crate) fn open() -> Self {
        // By default the kernel drops all but a few lines of user space in five seconds; a start has more to say, and
        // the one that matters may be the last.
        let _ = fs::write("/proc/sys/kernel/printk_devkmsg", "on\n");
        Self {
            log: OpenOptions::new().write(true).open("/dev/kmsg").ok(),
        }
    }

    pub(crate) fn info(&self, text: impl AsRef<str>) {
        self.write(Priority::Info, text.as_ref());
    }

    pub(crate) fn warn(&self, text: impl AsRef<str>) {
        self.write(Priority::Warning, text.as_ref());
    }

    /// Says why something cannot go on. Seen on every console also when the kernel was told to be quiet.
    pub(crate) fn error(&self, text: impl AsRef<str>) {
        self.write(Priority::Error, text.as_ref());
    }

    /// Nothing can be done about a failure to write to the console.
    fn write(&self, priority: Priority, text: &str) {
        for line in text.lines().flat_map(pieces) {
            let logged = self.log.as_ref().is_some_and(|mut log| {
                let record = format!("<{}>bedstone-init: {line}\n", priority as u8);
                log.write_all(record.as_bytes()).is_ok()
            });
            if !logged || (priority == Priority::Error && !kernel_shows(priority)) {
                show(line);
            }
        }
    }
}

/// Cuts a line that is too long for one record.
fn pieces(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = line;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = (0..=rest.len().min(LONGEST))
            .rev()
            .find(|&end| rest.is_char_boundary(end))?;
        let (piece, tail) = rest.split_at(end);
        rest = tail;
        Some(piece)
    })
}

/// Whether the kernel's console log level lets `priority` through.
fn kernel_shows(priority: Priority) -> bool {
    let levels = fs::read_to_string("/proc/sys/kernel/printk").unwrap_or_default();
    let level = levels.split_whitespace().next();
    let level: Option<u8> = level.and_then(|level| level.parse().ok());
    level.is_some_and(|level| (priority as u8) < level)
}

/// Writes to every active console by itself.
fn show(line: &str) {
    let active = fs::read_to_string("/sys/class/tty/console/active").unwrap_or_default();
    for name in active.split_whitespace() {
        if let Ok(mut terminal) = OpenOptions::new().write(true).open(format!("/dev/{name}")) {
            let _ = write!(terminal, "\r\nbedstone-init: {line}\r\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn long_lines_keep_every_character(line in "\\PC{0,3000}") {
            let parts: Vec<_> = pieces(&line).collect();
            prop_assert!(parts.iter().all(|part| !part.is_empty() && part.len() <= LONGEST));
            prop_assert_eq!(parts.concat(), line);
        }
    }
}
