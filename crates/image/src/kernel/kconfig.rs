//! The rules of a kernel's own `Kconfig` files, as far as they tell why an option was dropped.

use std::collections::BTreeMap;

use super::{Config, Setting};

/// Files within files; the kernel's own have six levels.
const DEPTH: usize = 64;
/// Files read in all, however they include each other; the kernel's own are about 1700.
const FILES: usize = 20_000;

/// Where an option is defined and what it depends on there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// The file, relative to the source, and the line from 1.
    pub place: String,
    /// Expressions that must all hold: the option's own, those of the menus and `if`s around it.
    pub conditions: Vec<String>,
    /// Whether a person can set it; if not, only other options select it.
    pub prompt: bool,
}

/// The definitions of all options of a kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// By name without `CONFIG_`; an option may have several.
    definitions: BTreeMap<String, Vec<Definition>>,
}

impl Rules {
    /// Reads the file `Kconfig` and all that it includes (Linux, `Documentation/kbuild/kconfig-language.rst`).
    ///
    /// `read` gives the text of a file by its path relative to the source; a file that it does not have is skipped.
    /// `architecture` is the kernel's name of it: `x86`. Nothing is evaluated, and what is not understood is passed over.
    pub fn read(architecture: &str, read: &dyn Fn(&str) -> Option<String>) -> Self {
        let mut reader = Reader {
            architecture,
            read,
            rules: Self::default(),
            around: Vec::new(),
            left: FILES,
        };
        reader.file("Kconfig", DEPTH);
        reader.rules
    }

    /// The definitions of `option`, with `CONFIG_`.
    pub fn definitions(&self, option: &str) -> &[Definition] {
        let name = option.strip_prefix("CONFIG_").unwrap_or(option);
        self.definitions.get(name).map_or(&[], Vec::as_slice)
    }

    /// Why `option` is not what was asked for in the finished configuration `config`.
    pub fn explain(&self, option: &str, config: &Config) -> String {
        let definitions = self.definitions(option);
        if definitions.is_empty() {
            return "this kernel has no such option".to_owned();
        }
        let mut reasons = Vec::new();
        for definition in definitions {
            let place = &definition.place;
            let unmet: Vec<String> = definition
                .conditions
                .iter()
                .filter_map(|condition| unmet(condition, config))
                .collect();
            if !unmet.is_empty() {
                reasons.push(format!("{place} depends on {}", unmet.join(", ")));
            } else if !definition.prompt {
                reasons.push(format!("{place} lets only other options select it"));
            }
        }
        if reasons.is_empty() {
            let place = &definitions[0].place;
            return format!(
                "{place} offers it, but another option selects it or a choice excludes it"
            );
        }
        reasons.join("; ")
    }
}

/// A condition with the settings that seem to keep it from holding; none when there is no such setting.
fn unmet(condition: &str, config: &Config) -> Option<String> {
    let mut settings = Vec::new();
    let mut negated = false;
    for token in tokens(condition) {
        if token == "!" {
            negated = true;
            continue;
        }
        let symbol = token
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
        if symbol {
            let name = format!("CONFIG_{token}");
            let value = config.get(&name).unwrap_or(&Setting::No);
            let off = *value == Setting::No;
            if off != negated {
                settings.push(format!("{name}={value}"));
            }
        }
        negated = false;
    }
    if settings.is_empty() {
        return None;
    }
    Some(format!("`{condition}` ({})", settings.join(", ")))
}

/// Names and single marks of an expression.
fn tokens(expression: &str) -> impl Iterator<Item = &str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut rest = expression;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        let first = rest.chars().next()?;
        let end = if is_name(first) {
            rest.find(|c| !is_name(c)).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        let (token, after) = rest.split_at(end);
        rest = after;
        // `!=` compares, `!` negates.
        if token == "!" && rest.starts_with('=') {
            return Some("=");
        }
        Some(token)
    })
}

/// What the lines that follow belong to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Subject {
    Option,
    /// The innermost menu or choice.
    Block,
    Nothing,
}

struct Reader<'a> {
    architecture: &'a str,
    read: &'a dyn Fn(&str) -> Option<String>,
    rules: Rules,
    /// The conditions of each menu, choice and `if` that is open.
    around: Vec<Vec<String>>,
    /// Files that may still be read.
    left: usize,
}

impl Reader<'_> {
    fn file(&mut self, path: &str, depth: usize) {
        let (Some(depth), Some(left)) = (depth.checked_sub(1), self.left.checked_sub(1)) else {
            return;
        };
        self.left = left;
        let Some(text) = (self.read)(path) else {
            return;
        };
        let mut subject = Subject::Nothing;
        let mut current: Option<(String, Definition)> = None;
        let mut lines = text.lines().enumerate().peekable();
        while let Some((index, line)) = lines.next() {
            let mut statement = line.trim().to_owned();
            while statement.ends_with('\\') {
                statement.pop();
                let Some((_, more)) = lines.next() else { break };
                statement.push_str(more.trim());
            }
            let (word, rest) = statement
                .split_once(char::is_whitespace)
                .unwrap_or((&statement, ""));
            let rest = rest.trim();
            match word {
                "config" | "menuconfig" => {
                    self.close(&mut current);
                    subject = Subject::Option;
                    let definition = Definition {
                        place: format!("{path}:{}", index + 1),
                        conditions: self.around.iter().flatten().cloned().collect(),
                        prompt: false,
                    };
                    current = Some((rest.to_owned(), definition));
                }
                "menu" | "choice" => {
                    self.close(&mut current);
                    subject = Subject::Block;
                    self.around.push(Vec::new());
                }
                "if" => {
                    self.close(&mut current);
                    subject = Subject::Nothing;
                    self.around.push(vec![rest.to_owned()]);
                }
                "endmenu" | "endchoice" | "endif" => {
                    self.close(&mut current);
                    subject = Subject::Nothing;
                    self.around.pop();
                }
                "comment" | "mainmenu" => {
                    self.close(&mut current);
                    subject = Subject::Nothing;
                }
                "source" => {
                    self.close(&mut current);
                    subject = Subject::Nothing;
                    let included = rest
                        .trim_matches('"')
                        .replace("$(SRCARCH)", self.architecture);
                    self.file(&included, depth);
                }
                "depends" => {
                    let condition = rest.strip_prefix("on").unwrap_or(rest).trim().to_owned();
                    match (subject, &mut current, self.around.last_mut()) {
                        (Subject::Option, Some((_, definition)), _) => {
                            definition.conditions.push(condition);
                        }
                        (Subject::Block, _, Some(block)) => block.push(condition),
                        _ => {}
                    }
                }
                "bool" | "tristate" | "string" | "int" | "hex" | "prompt" => {
                    if let (Some((_, definition)), Some(behind)) = (&mut current, prompt(rest)) {
                        definition.prompt = true;
                        if let Some(condition) = behind.strip_prefix("if ") {
                            definition.conditions.push(condition.trim().to_owned());
                        }
                    }
                }
                "help" | "---help---" => skip_help(&mut lines),
                _ => {}
            }
        }
        self.close(&mut current);
    }

    /// Takes up the option that ends here.
    fn close(&mut self, current: &mut Option<(String, Definition)>) {
        if let Some((name, definition)) = current.take() {
            self.rules
                .definitions
                .entry(name)
                .or_default()
                .push(definition);
        }
    }
}

/// What follows the quoted prompt, if there is one.
fn prompt(text: &str) -> Option<&str> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let (_, behind) = text[1..].split_once(quote)?;
    Some(behind.trim())
}

/// Passes over a help text: all lines that are indented at least like its first.
fn skip_help<'a>(lines: &mut std::iter::Peekable<impl Iterator<Item = (usize, &'a str)>>) {
    let indentation = |line: &str| -> usize {
        let mut column = 0;
        for c in line.chars() {
            match c {
                ' ' => column += 1,
                '\t' => column = (column / 8 + 1) * 8,
                _ => break,
            }
        }
        column
    };
    let mut least = None;
    while let Some((_, line)) = lines.peek() {
        if !line.trim().is_empty() {
            let own = indentation(line);
            if own == 0 || own < *least.get_or_insert(own) {
                return;
            }
        }
        lines.next();
    }
}

#[cfg(test)]
mod tests;
