/// Removes terminal control from a stream: escape sequences (ECMA-48), carriage returns and other control characters.
///
/// What is left is text with line feeds and tabs. A sequence that sets the cursor's position becomes a line feed, because
/// firmware draws its screen with them and no line would ever end otherwise. Keeps nothing but its state, so that a
/// sequence may be cut anywhere.
#[derive(Debug, Default, Clone)]
pub struct Stripper {
    state: State,
}

#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum State {
    #[default]
    Text,
    /// After ESC.
    Escape,
    /// After ESC and intermediate bytes.
    Intermediate,
    /// In a control sequence, `ESC [ …`.
    Control,
    /// In a string, `ESC ]`, `ESC P`, `ESC X`, `ESC ^` or `ESC _`, which ends with BEL or ESC `\`.
    String,
    /// In a string, after ESC.
    StringEscape,
}

impl Stripper {
    /// Appends the text of `bytes` to `text`.
    pub fn push(&mut self, bytes: &[u8], text: &mut Vec<u8>) {
        for &byte in bytes {
            // A line end inside a sequence means that the sequence was cut off; the text goes on.
            if byte == b'\n' {
                text.push(byte);
                self.state = State::Text;
                continue;
            }
            self.state = match self.state {
                State::Text => match byte {
                    0x1b => State::Escape,
                    b'\t' | b' '..=b'~' | 0x80.. => {
                        text.push(byte);
                        State::Text
                    }
                    _ => State::Text,
                },
                State::Escape => match byte {
                    b'[' => State::Control,
                    b']' | b'P' | b'X' | b'^' | b'_' => State::String,
                    b' '..=b'/' => State::Intermediate,
                    0x1b => State::Escape,
                    _ => State::Text,
                },
                State::Intermediate => match byte {
                    b' '..=b'/' => State::Intermediate,
                    0x1b => State::Escape,
                    _ => State::Text,
                },
                State::Control => match byte {
                    b'H' | b'f' => {
                        if text.last().is_some_and(|last| *last != b'\n') {
                            text.push(b'\n');
                        }
                        State::Text
                    }
                    b'@'..=b'~' => State::Text,
                    0x1b => State::Escape,
                    _ => State::Control,
                },
                State::String => match byte {
                    0x07 => State::Text,
                    0x1b => State::StringEscape,
                    _ => State::String,
                },
                State::StringEscape => match byte {
                    // A string that was never ended, and the next sequence.
                    b'[' => State::Control,
                    0x1b => State::StringEscape,
                    _ => State::Text,
                },
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn strip(bytes: &[u8]) -> String {
        let mut text = Vec::new();
        Stripper::default().push(bytes, &mut text);
        String::from_utf8_lossy(&text).into_owned()
    }

    #[test]
    fn leaves_text() {
        assert_eq!(strip(b"plain\r\n\ttext \xc3\xa4"), "plain\n\ttext \u{e4}");
        assert_eq!(
            strip(b"[\x1b[0;32m  OK  \x1b[0m] Started"),
            "[  OK  ] Started"
        );
        assert_eq!(strip(b"\x1b[?2004hroot# \x07\x08"), "root# ");
        assert_eq!(strip(b"a\x1b]3008;start=1\x1b\\b\x1b]0;title\x07c"), "abc");
        assert_eq!(strip(b"\x1b(Ba\x1bMb\x1b7c"), "abc");
        assert_eq!(
            strip(b"one\x1b[08;01Htwo\x1b[01;01H\x1b[02;01Hthree"),
            "one\ntwo\nthree"
        );
        assert_eq!(strip(b"\x1b]never ended\nnext"), "\nnext");
        assert_eq!(strip(b"\x1b\x1b[1mx"), "x");
    }

    proptest! {
        #[test]
        fn does_not_depend_on_how_the_stream_is_cut(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in 0usize..300) {
            let mut whole = Vec::new();
            Stripper::default().push(&bytes, &mut whole);
            let (first, second) = bytes.split_at(cut.min(bytes.len()));
            let mut stripper = Stripper::default();
            let mut cut = Vec::new();
            stripper.push(first, &mut cut);
            stripper.push(second, &mut cut);
            prop_assert_eq!(&whole, &cut);
            prop_assert!(!whole.contains(&0x1b) && !whole.contains(&b'\r'));
        }

        #[test]
        fn plain_text_passes_unchanged(text in "[ -~\n\t]{0,100}") {
            prop_assert_eq!(strip(text.as_bytes()), text);
        }
    }
}
