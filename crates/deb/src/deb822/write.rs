use super::Defect;

/// Writes stanzas in the form that [`Stanzas`](super::Stanzas), apt and dpkg read.
#[derive(Debug, Default, Clone)]
pub struct StanzaWriter {
    text: String,
    open: bool,
}

impl StanzaWriter {
    /// Starts with no stanza.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a field to the open stanza.
    ///
    /// Line ends in `value` become continuation lines; one that would be empty is written as ` .` (Policy 5.6.13).
    pub fn field(&mut self, name: &str, value: &str) -> Result<(), Defect> {
        let valid = |byte: u8| byte.is_ascii_graphic() && byte != b':';
        if !name.bytes().all(valid) || name.is_empty() || name.starts_with(['-', '#']) {
            return Err(Defect::Name);
        }
        self.text.push_str(name);
        self.text.push(':');
        for (number, line) in value.split('\n').enumerate() {
            let line = line.trim_end_matches(|c: char| c.is_ascii_whitespace());
            let line = line.trim_start_matches(|c: char| c.is_ascii_whitespace() && c != ' ');
            if number > 0 {
                self.text.push('\n');
            }
            if !line.is_empty() {
                if !line.starts_with(' ') {
                    self.text.push(' ');
                }
                self.text.push_str(line);
            } else if number > 0 {
                self.text.push_str(" .");
            }
        }
        self.text.push('\n');
        self.open = true;
        Ok(())
    }

    /// Ends the open stanza, if any.
    pub fn end(&mut self) {
        if std::mem::take(&mut self.open) {
            self.text.push('\n');
        }
    }

    /// The text of all stanzas.
    pub fn finish(mut self) -> String {
        self.end();
        self.text
    }
}
