use std::collections::HashMap;
use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::event::{Event, Outcome, SpanId, Unit};
use crate::reporter::Sink;

/// Bars on standard error where it is a terminal, plain lines where it is not.
///
/// Top-level work leaves a line behind when it ends; its parts are shown only while they run.
pub struct Terminal {
    bars: MultiProgress,
    state: Mutex<HashMap<SpanId, Shown>>,
    interactive: bool,
    color: bool,
}

struct Shown {
    bar: ProgressBar,
    top: bool,
}

impl Terminal {
    /// Draws on standard error. `interactive` allows bars, `color` allows colours.
    pub fn new(interactive: bool, color: bool) -> Self {
        let target = if interactive {
            ProgressDrawTarget::stderr_with_hz(10)
        } else {
            ProgressDrawTarget::hidden()
        };
        Self {
            bars: MultiProgress::with_draw_target(target),
            state: Mutex::new(HashMap::new()),
            interactive,
            color,
        }
    }

    fn line(&self, text: &str) {
        if self.interactive {
            // Without a terminal any more there is nobody to tell.
            let _ = self.bars.println(text);
        } else {
            use std::io::Write;
            let _ = writeln!(std::io::stderr().lock(), "{text}");
        }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.color {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

impl Sink for Terminal {
    fn emit(&self, event: &Event) {
        let Ok(mut state) = self.state.lock() else {
            return;
        };
        match event {
            Event::Started {
                span,
                parent,
                text,
                total,
                unit,
                ..
            } => {
                let bar = self.bars.add(match total {
                    Some(total) => ProgressBar::new(*total),
                    None => ProgressBar::new_spinner(),
                });
                bar.set_style(style(*total, *unit));
                bar.set_message(text.clone());
                if self.interactive {
                    bar.enable_steady_tick(Duration::from_millis(120));
                }
                state.insert(
                    *span,
                    Shown {
                        bar,
                        top: parent.is_none(),
                    },
                );
            }
            Event::Progress { span, done, .. } => {
                if let Some(shown) = state.get(span) {
                    shown.bar.set_position(*done);
                }
            }
            Event::Finished {
                span,
                outcome,
                text,
                elapsed,
                ..
            } => {
                let Some(shown) = state.remove(span) else {
                    return;
                };
                shown.bar.finish_and_clear();
                self.bars.remove(&shown.bar);
                if !shown.top {
                    return;
                }
                let mark = match outcome {
                    Outcome::Done => self.paint("32", "✓"),
                    Outcome::Cached => self.paint("36", "="),
                    Outcome::Failed => self.paint("31", "✗"),
                };
                self.line(&format!("{mark} {text}  {}", seconds(*elapsed)));
            }
            Event::Warning { text, hint } => {
                self.line(&format!("{} {text}", self.paint("33;1", "warning:")));
                if let Some(hint) = hint {
                    self.line(&format!("   {} {hint}", self.paint("36", "hint:")));
                }
            }
            Event::Note { text } => self.line(text),
        }
    }
}

impl fmt::Debug for Terminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Terminal(interactive: {})", self.interactive)
    }
}

fn seconds(elapsed: Duration) -> String {
    format!("({:.1} s)", elapsed.as_secs_f64())
}

fn style(total: Option<u64>, unit: Unit) -> ProgressStyle {
    let template = match (total, unit) {
        (None, _) => "  {spinner} {msg}  {elapsed}",
        (Some(_), Unit::Bytes) => {
            "  {spinner} {msg:<28} [{bar:24}] {bytes}/{total_bytes} {bytes_per_sec} {eta}"
        }
        (Some(_), _) => "  {spinner} {msg:<28} [{bar:24}] {pos}/{len} {eta}",
    };
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸ ")
}
