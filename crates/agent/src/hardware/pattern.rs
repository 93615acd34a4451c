//! POSIX extended regular expressions (IEEE Std 1003.1-2017, 9.4), over bytes.

/// Longest pattern in bytes.
const LENGTH: usize = 512;
/// Most steps of a compiled pattern: repetitions are written out.
const STEPS: usize = 4096;
/// Highest number in braces (`RE_DUP_MAX`).
const REPEATS: usize = 255;
/// How deep groups may be in each other.
const DEPTH: usize = 32;

/// A pattern, compiled to steps that are followed all at once.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    steps: Vec<Step>,
}

#[derive(Debug, Clone)]
enum Step {
    /// One of these bytes, then the next step.
    Byte(Box<Set>),
    /// On at both places.
    Split(usize, usize),
    Jump(usize),
    /// Only at the beginning.
    Start,
    /// Only at the end.
    End,
    Match,
}

/// Which bytes are in it.
type Set = [bool; 256];

enum Node {
    Empty,
    Byte(Box<Set>),
    Start,
    End,
    Sequence(Vec<Node>),
    Either(Vec<Node>),
    Repeat(Box<Node>, usize, Option<usize>),
}

impl Pattern {
    /// Reads a pattern; says what is wrong with it otherwise.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        if text.len() > LENGTH {
            return Err("the pattern is longer than 512 bytes");
        }
        if text.is_empty() {
            return Err("the pattern is empty");
        }
        let mut parser = Parser {
            text: text.as_bytes(),
            at: 0,
            depth: 0,
        };
        let node = parser.alternatives()?;
        if parser.at < parser.text.len() {
            return Err("a `)` without its `(`");
        }
        let mut pattern = Self { steps: Vec::new() };
        pattern.compile(&node)?;
        pattern.push(Step::Match)?;
        Ok(pattern)
    }

    /// Whether it matches anywhere in `text`.
    pub(super) fn is_in(&self, text: &str) -> bool {
        let text = text.as_bytes();
        let mut now = Vec::new();
        for at in 0..=text.len() {
            // A match may begin anywhere.
            let mut reached = vec![false; self.steps.len()];
            let mut next = Vec::new();
            now.push(0);
            while let Some(step) = now.pop() {
                if std::mem::replace(&mut reached[step], true) {
                    continue;
                }
                match &self.steps[step] {
                    Step::Byte(set) => {
                        if text.get(at).is_some_and(|byte| set[usize::from(*byte)]) {
                            next.push(step + 1);
                        }
                    }
                    Step::Split(one, other) => now.extend([*one, *other]),
                    Step::Jump(to) => now.push(*to),
                    Step::Start if at == 0 => now.push(step + 1),
                    Step::End if at == text.len() => now.push(step + 1),
                    Step::Start | Step::End => {}
                    Step::Match => return true,
                }
            }
            now = next;
        }
        false
    }

    fn push(&mut self, step: Step) -> Result<usize, &'static str> {
        if self.steps.len() == STEPS {
            return Err("the pattern repeats too much");
        }
        self.steps.push(step);
        Ok(self.steps.len() - 1)
    }

    fn compile(&mut self, node: &Node) -> Result<(), &'static str> {
        match node {
            Node::Empty => {}
            Node::Byte(set) => {
                self.push(Step::Byte(set.clone()))?;
            }
            Node::Start => {
                self.push(Step::Start)?;
            }
            Node::End => {
                self.push(Step::End)?;
            }
            Node::Sequence(nodes) => {
                for node in nodes {
                    self.compile(node)?;
                }
            }
            Node::Either(nodes) => {
                let mut ends = Vec::new();
                for (number, node) in nodes.iter().enumerate() {
                    if number + 1 == nodes.len() {
                        self.compile(node)?;
                        break;
                    }
                    let split = self.push(Step::Split(0, 0))?;
                    self.compile(node)?;
                    ends.push(self.push(Step::Jump(0))?);
                    self.steps[split] = Step::Split(split + 1, self.steps.len());
                }
                for end in ends {
                    self.steps[end] = Step::Jump(self.steps.len());
                }
            }
            Node::Repeat(node, least, most) => {
                for _ in 0..*least {
                    self.compile(node)?;
                }
                match most {
                    None => {
                        let split = self.push(Step::Split(0, 0))?;
                        self.compile(node)?;
                        self.push(Step::Jump(split))?;
                        self.steps[split] = Step::Split(split + 1, self.steps.len());
                    }
                    Some(most) => {
                        let mut splits = Vec::new();
                        for _ in *least..*most {
                            splits.push(self.push(Step::Split(0, 0))?);
                            self.compile(node)?;
                        }
                        for split in splits {
                            self.steps[split] = Step::Split(split + 1, self.steps.len());
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn takes(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn alternatives(&mut self) -> Result<Node, &'static str> {
        let mut nodes = vec![self.sequence()?];
        while self.takes(b'|') {
            nodes.push(self.sequence()?);
        }
        Ok(Node::Either(nodes))
    }

    /// What stands between `|`, up to the end or a `)`.
    fn sequence(&mut self) -> Result<Node, &'static str> {
        let mut nodes = Vec::new();
        while let Some(byte) = self.peek().filter(|byte| !b"|)".contains(byte)) {
            self.at += 1;
            let (node, repeats) = match byte {
                b'^' => (Node::Start, false),
                b'$' => (Node::End, false),
                b'(' => (self.group()?, true),
                b'[' => (Node::Byte(self.bracket()?), true),
                b'.' => (Node::Byte(Box::new([true; 256])), true),
                b'*' | b'+' | b'?' | b'{' => return Err("a repetition of nothing"),
                b'\\' => match self.next() {
                    Some(byte) if byte.is_ascii_punctuation() => (single(byte), true),
                    _ => return Err("a `\\` before something that is no special character"),
                },
                byte => (single(byte), true),
            };
            let node = match self.repetition()? {
                None => node,
                Some(_) if !repeats => return Err("a repetition of nothing"),
                Some((least, most)) => Node::Repeat(Box::new(node), least, most),
            };
            nodes.push(node);
        }
        if nodes.is_empty() {
            return Err("an empty alternative");
        }
        Ok(Node::Sequence(nodes))
    }

    fn group(&mut self) -> Result<Node, &'static str> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err("groups are too deep in each other");
        }
        let node = if self.peek() == Some(b')') {
            Node::Empty
        } else {
            self.alternatives()?
        };
        self.depth -= 1;
        if self.takes(b')') {
            Ok(node)
        } else {
            Err("a `(` without its `)`")
        }
    }

    /// `*`, `+`, `?` or numbers in braces, if that follows; a second one is undefined.
    fn repetition(&mut self) -> Result<Option<(usize, Option<usize>)>, &'static str> {
        let bounds = match self.peek() {
            Some(b'*') => (0, None),
            Some(b'+') => (1, None),
            Some(b'?') => (0, Some(1)),
            Some(b'{') => {
                self.at += 1;
                let least = self.number()?;
                let most = if self.takes(b',') {
                    if self.peek() == Some(b'}') {
                        None
                    } else {
                        Some(self.number()?)
                    }
                } else {
                    Some(least)
                };
                if self.peek() != Some(b'}') {
                    return Err("braces without two numbers");
                }
                if most.is_some_and(|most| most < least) {
                    return Err("braces whose second number is below the first");
                }
                (least, most)
            }
            _ => return Ok(None),
        };
        self.at += 1;
        if matches!(self.peek(), Some(b'*' | b'+' | b'?' | b'{')) {
            return Err("a repetition of a repetition");
        }
        Ok(Some(bounds))
    }

    fn number(&mut self) -> Result<usize, &'static str> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        std::str::from_utf8(&self.text[start..self.at])
            .ok()
            .and_then(|digits| digits.parse().ok())
            .filter(|number| *number <= REPEATS)
            .ok_or("braces without a number up to 255")
    }

    /// A bracket expression, whose `[` was taken.
    fn bracket(&mut self) -> Result<Box<Set>, &'static str> {
        const OPEN: &str = "a `[` without its `]`";
        let mut set: Box<Set> = Box::new([false; 256]);
        let inverted = self.takes(b'^');
        let start = self.at;
        loop {
            let byte = self.next().ok_or(OPEN)?;
            let first = match byte {
                b']' if self.at - 1 > start => break,
                b'[' if self.peek() == Some(b':') => {
                    self.class(&mut set)?;
                    continue;
                }
                b'[' if matches!(self.peek(), Some(b'.' | b'=')) => {
                    return Err("a collating element, which depends on the language");
                }
                byte => byte,
            };
            let range = self.peek() == Some(b'-')
                && self.text.get(self.at + 1).is_some_and(|byte| *byte != b']');
            let last = if range {
                self.at += 1;
                self.next().ok_or(OPEN)?
            } else {
                first
            };
            if range && last == b'[' && matches!(self.peek(), Some(b':' | b'.' | b'=')) {
                return Err("a range that ends in a class");
            }
            if !first.is_ascii() || !last.is_ascii() {
                return Err("a character in brackets that is not ASCII");
            }
            if last < first {
                return Err("a range whose end is before its start");
            }
            set[usize::from(first)..=usize::from(last)].fill(true);
        }
        if inverted {
            set.iter_mut().for_each(|byte| *byte = !*byte);
        }
        Ok(set)
    }

    /// A class in a bracket expression, such as `[:digit:]`, whose first `[` was taken.
    fn class(&mut self, set: &mut Set) -> Result<(), &'static str> {
        let rest = self.text.get(self.at + 1..).unwrap_or_default();
        let (name, is_in) = CLASSES
            .iter()
            .find(|(name, _)| {
                rest.strip_prefix(name.as_bytes())
                    .is_some_and(|rest| rest.starts_with(b":]"))
            })
            .ok_or("a class of characters that there is not")?;
        for byte in 0..=127_u8 {
            set[usize::from(byte)] |= is_in(byte);
        }
        self.at += 1 + name.len() + 2;
        Ok(())
    }
}

/// The name of a class, and whether a byte is in it.
type Class = (&'static str, fn(u8) -> bool);

/// The classes of the POSIX locale (IEEE Std 1003.1-2017, 7.3.1).
const CLASSES: [Class; 12] = [
    ("alnum", |byte| byte.is_ascii_alphanumeric()),
    ("alpha", |byte| byte.is_ascii_alphabetic()),
    ("blank", |byte| matches!(byte, b' ' | b'\t')),
    ("cntrl", |byte| byte.is_ascii_control()),
    ("digit", |byte| byte.is_ascii_digit()),
    ("graph", |byte| byte.is_ascii_graphic()),
    ("lower", |byte| byte.is_ascii_lowercase()),
    ("print", |byte| matches!(byte, b' '..=b'~')),
    ("punct", |byte| byte.is_ascii_punctuation()),
    ("space", |byte| matches!(byte, b' ' | b'\t'..=b'\r')),
    ("upper", |byte| byte.is_ascii_uppercase()),
    ("xdigit", |byte| byte.is_ascii_hexdigit()),
];

fn single(byte: u8) -> Node {
    let mut set = Box::new([false; 256]);
    set[usize::from(byte)] = true;
    Node::Byte(set)
}
