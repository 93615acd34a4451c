use std::collections::BTreeMap;
use std::fmt;

/// The value of an option in a `.config` file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Setting {
    /// `=y`.
    Yes,
    /// `=m`.
    Module,
    /// `=n` or `# … is not set`.
    No,
    /// A quoted string, unescaped.
    Text(String),
    /// A number, decimal or `0x…`, as written.
    Number(String),
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Yes => f.write_str("y"),
            Self::Module => f.write_str("m"),
            Self::No => f.write_str("n"),
            Self::Text(text) => {
                f.write_str("\"")?;
                for c in text.chars() {
                    if c == '"' || c == '\\' {
                        f.write_str("\\")?;
                    }
                    write!(f, "{c}")?;
                }
                f.write_str("\"")
            }
            Self::Number(number) => f.write_str(number),
        }
    }
}

impl Setting {
    /// The number, when it is one: hexadecimal ones have up to 64 bits without a sign.
    pub fn number(&self) -> Option<i128> {
        match self {
            Self::Number(text) => match text.strip_prefix("0x").or(text.strip_prefix("0X")) {
                Some(hex) => u64::from_str_radix(hex, 16).ok().map(i128::from),
                None => text.parse::<i64>().ok().map(i128::from),
            },
            _ => None,
        }
    }

    /// Reads what stands behind `=`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "y" => Some(Self::Yes),
            "m" => Some(Self::Module),
            "n" => Some(Self::No),
            _ if text.starts_with('"') => unquote(text).map(Self::Text),
            _ => {
                let number = Self::Number(text.to_owned());
                number.number().map(|_| number)
            }
        }
    }
}

fn unquote(text: &str) -> Option<String> {
    let body = text.strip_prefix('"')?.strip_suffix('"')?;
    let mut out = String::with_capacity(body.len());
    let mut chars = body.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.push(chars.next()?),
            '"' => return None,
            c => out.push(c),
        }
    }
    Some(out)
}

/// A line of a `.config` that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct ConfigError {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

/// A parsed kernel configuration: every option that the file speaks of, by its name with `CONFIG_`.
///
/// Two are equal when they say the same of the same options, wherever in their files.
#[derive(Debug, Clone, Default)]
pub struct Config {
    options: BTreeMap<String, Setting>,
    /// Where each was set, lines from 1; options that were set by [`Config::set`] have none.
    lines: BTreeMap<String, usize>,
    /// From the header that the kernel's build writes, such as `6.1.140`; none in fragments.
    version: Option<(u32, u32)>,
    architecture: Option<String>,
}

impl PartialEq for Config {
    fn eq(&self, other: &Self) -> bool {
        self.options == other.options
            && self.version == other.version
            && self.architecture == other.architecture
    }
}

impl Eq for Config {}

impl Config {
    /// Reads a `.config` or a fragment of one (Linux, `Documentation/kbuild/kconfig.rst`).
    ///
    /// An option that is set twice keeps the last value, as the kernel's own reader does. Fails at the first line that is
    /// neither a comment nor an option.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim_end_matches('\r');
            let fault = |reason: String| ConfigError {
                line: index + 1,
                reason,
            };
            if let Some(comment) = line.strip_prefix('#') {
                config.comment(index + 1, comment.trim());
            } else if let Some((name, value)) = line.split_once('=') {
                if !is_option(name) {
                    return Err(fault(format!("`{name}` is not the name of an option")));
                }
                let setting = Setting::parse(value).ok_or_else(|| {
                    fault(format!(
                        "`{value}` is not a value: `y`, `m`, `n`, a number or a quoted string"
                    ))
                })?;
                config.take(index + 1, name, setting);
            } else if !line.trim().is_empty() {
                return Err(fault(format!(
                    "`{line}` is neither an option nor a comment"
                )));
            }
        }
        Ok(config)
    }

    fn take(&mut self, line: usize, name: &str, setting: Setting) {
        self.options.insert(name.to_owned(), setting);
        self.lines.insert(name.to_owned(), line);
    }

    fn comment(&mut self, line: usize, comment: &str) {
        if let Some(name) = comment
            .strip_suffix(" is not set")
            .filter(|name| is_option(name))
        {
            self.take(line, name, Setting::No);
        } else if let Some((head, _)) = comment.split_once(" Kernel Configuration") {
            // `Linux/x86 6.1.140 Kernel Configuration`
            let mut words = head.split(' ');
            self.architecture = words
                .next()
                .and_then(|word| word.strip_prefix("Linux/"))
                .map(str::to_owned);
            let mut numbers = words.next().unwrap_or_default().split('.');
            self.version = numbers
                .next()
                .and_then(|n| n.parse().ok())
                .zip(numbers.next().and_then(|n| n.parse().ok()));
        }
    }

    /// The setting of an option; none when the file does not speak of it, which the kernel treats as [`Setting::No`].
    pub fn get(&self, option: &str) -> Option<&Setting> {
        self.options.get(option)
    }

    /// The line, from 1, in which the file that was read sets an option.
    pub fn line(&self, option: &str) -> Option<usize> {
        self.lines.get(option).copied()
    }

    /// Sets an option.
    pub fn set(&mut self, option: impl Into<String>, setting: Setting) {
        let option = option.into();
        self.lines.remove(&option);
        self.options.insert(option, setting);
    }

    /// All options in order of name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Setting)> {
        self.options
            .iter()
            .map(|(name, value)| (name.as_str(), value))
    }

    /// Major and minor version from the file's header.
    pub fn version(&self) -> Option<(u32, u32)> {
        self.version
    }

    /// The kernel's name of the architecture from the file's header, such as `x86` or `arm64`.
    pub fn architecture(&self) -> Option<&str> {
        self.architecture.as_deref()
    }
}

/// The file as the kernel's build reads it, options in order of name.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter()
            .try_for_each(|(name, setting)| writeln!(f, "{}", Line(name, setting)))
    }
}

/// An option as a line of the file, without its end.
pub(super) struct Line<'a>(pub(super) &'a str, pub(super) &'a Setting);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Setting::No => write!(f, "# {} is not set", self.0),
            setting => write!(f, "{}={setting}", self.0),
        }
    }
}

fn is_option(name: &str) -> bool {
    name.strip_prefix("CONFIG_").is_some_and(|rest| {
        !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    })
}

#[cfg(test)]
mod tests;
