//! libconfig: settings `name = value;`, groups `{}`, lists `()`, arrays `[]`, comments of three kinds.

use std::fmt::Write as _;

use super::cursor::Cursor;
use super::{Node, Value, add};
use crate::error::Result;

pub(super) fn parse(text: &str) -> Result<Node> {
    let mut cursor = Cursor::new(text);
    let line = cursor.line();
    let settings = settings(&mut cursor, None)?;
    Ok(Node {
        line,
        value: Value::Group(settings),
    })
}

/// Settings up to `end`, which is taken, or up to the end of the text.
fn settings(cursor: &mut Cursor<'_>, end: Option<char>) -> Result<Vec<(String, Node)>> {
    let mut group = Vec::new();
    loop {
        skip(cursor)?;
        if cursor.peek() == end {
            cursor.next();
            return Ok(group);
        }
        let name = cursor
            .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '*'))
            .to_owned();
        if !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '*') {
            return Err(cursor.expected("a name"));
        }
        skip(cursor)?;
        if !cursor.eat("=") && !cursor.eat(":") {
            return Err(cursor.expected("`=`"));
        }
        skip(cursor)?;
        let node = value(cursor)?;
        add(&mut group, name, node)?;
        skip(cursor)?;
        if !cursor.eat(";") {
            cursor.eat(",");
        }
    }
}

fn value(cursor: &mut Cursor<'_>) -> Result<Node> {
    let line = cursor.line();
    let value = match cursor.peek() {
        Some('{') => {
            cursor.next();
            cursor.descend()?;
            let group = settings(cursor, Some('}'))?;
            cursor.ascend();
            Value::Group(group)
        }
        Some('(') => list(cursor, ')')?,
        Some('[') => array(cursor)?,
        Some('"') => Value::Text(text(cursor)?),
        _ => scalar(cursor)?,
    };
    Ok(Node { line, value })
}

fn list(cursor: &mut Cursor<'_>, end: char) -> Result<Value> {
    cursor.next();
    cursor.descend()?;
    let mut items = Vec::new();
    skip(cursor)?;
    while cursor.peek() != Some(end) {
        items.push(value(cursor)?);
        skip(cursor)?;
        if cursor.eat(",") {
            skip(cursor)?;
        } else if cursor.peek() != Some(end) {
            return Err(cursor.expected(&format!("`,` or `{end}`")));
        }
    }
    cursor.next();
    cursor.ascend();
    Ok(Value::List(items))
}

/// An array holds scalars of one kind, which libconfig demands.
fn array(cursor: &mut Cursor<'_>) -> Result<Value> {
    let fault = cursor.fault("an array `[]` holds scalars of one kind; use a list `()`");
    let array = list(cursor, ']')?;
    let Value::List(items) = &array else {
        return Err(fault);
    };
    let kinds_agree = items
        .windows(2)
        .all(|pair| pair[0].value.kind() == pair[1].value.kind());
    let scalars = items
        .iter()
        .all(|item| !matches!(item.value, Value::Group(_) | Value::List(_)));
    if kinds_agree && scalars {
        Ok(array)
    } else {
        Err(fault)
    }
}

/// One or more quoted strings side by side, which make one.
fn text(cursor: &mut Cursor<'_>) -> Result<String> {
    let mut bytes = Vec::new();
    let line = cursor.line();
    while cursor.eat("\"") {
        loop {
            match cursor.next() {
                None => return Err(super::fault(line, "a string does not end")),
                Some('"') => break,
                Some('\0') => return Err(cursor.fault("a string has a NUL")),
                Some('\\') => bytes.push(escape(cursor)?),
                Some(character) => {
                    bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
        }
        skip(cursor)?;
    }
    String::from_utf8(bytes).map_err(|_| super::fault(line, "a string is not UTF-8"))
}

fn escape(cursor: &mut Cursor<'_>) -> Result<u8> {
    let fault = cursor.fault("an escape that libconfig does not know");
    Ok(match cursor.next() {
        Some('"') => b'"',
        Some('\\') => b'\\',
        Some('n') => b'\n',
        Some('r') => b'\r',
        Some('t') => b'\t',
        Some('f') => 0x0c,
        Some('v') => 0x0b,
        Some('a') => 0x07,
        Some('b') => 0x08,
        Some('x') => {
            let digits = cursor.rest().get(..2).unwrap_or("");
            match u8::from_str_radix(digits, 16) {
                Ok(byte) if byte != 0 && !digits.starts_with('+') => {
                    cursor.advance(2);
                    byte
                }
                _ => return Err(fault),
            }
        }
        _ => return Err(fault),
    })
}

fn scalar(cursor: &mut Cursor<'_>) -> Result<Value> {
    let fault = cursor.expected("a value");
    let word = cursor.take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    if word.eq_ignore_ascii_case("true") {
        return Ok(Value::Flag(true));
    }
    if word.eq_ignore_ascii_case("false") {
        return Ok(Value::Flag(false));
    }
    number(word).ok_or(fault)
}

/// Decimal or `0x` hexadecimal, with `L` behind it or not, or a fraction.
fn number(word: &str) -> Option<Value> {
    let whole = word.strip_suffix("LL").or(word.strip_suffix('L'));
    let whole = whole.unwrap_or(word);
    if let Some(digits) = whole.strip_prefix("0x").or(whole.strip_prefix("0X")) {
        let unsigned = !digits.starts_with(['+', '-']);
        return i64::from_str_radix(digits, 16)
            .ok()
            .filter(|_| unsigned)
            .map(Value::Number);
    }
    if let Ok(number) = whole.parse() {
        // Libraries read a leading zero as octal, or not, by their version.
        let digits = whole.trim_start_matches(['+', '-']);
        let plain = digits == "0" || !digits.starts_with('0');
        return plain.then_some(Value::Number(number));
    }
    let looks = word.contains('.') && word.bytes().any(|byte| byte.is_ascii_digit());
    let fraction: f64 = looks.then(|| word.parse().ok())??;
    fraction.is_finite().then_some(Value::Fraction(fraction))
}

/// Skips white space and comments.
fn skip(cursor: &mut Cursor<'_>) -> Result<()> {
    loop {
        cursor.take_while(|c| matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0c' | '\x0b'));
        if cursor.eat("#") || cursor.eat("//") {
            cursor.take_while(|c| c != '\n');
        } else if cursor.rest().starts_with("/*") {
            let Some(end) = cursor.rest()[2..].find("*/") else {
                return Err(cursor.fault("a comment does not end"));
            };
            cursor.advance(end + 4);
        } else {
            return Ok(());
        }
    }
}

/// Writes a group as a libconfig file.
///
/// Only what all readers take is written: no character but tab, line feed and carriage return below the blank.
pub fn to_libconfig(root: &Node) -> String {
    let mut text = String::new();
    if let Value::Group(settings) = &root.value {
        for (name, node) in settings {
            put_setting(&mut text, name, node, 0);
        }
    }
    text
}

fn put_setting(text: &mut String, name: &str, node: &Node, depth: usize) {
    let indent = "\t".repeat(depth);
    let sign = if matches!(node.value, Value::List(_)) {
        ":"
    } else {
        " ="
    };
    let _ = write!(text, "{indent}{name}{sign} ");
    put(text, node, depth);
    text.push_str(";\n");
}

fn put(text: &mut String, node: &Node, depth: usize) {
    let indent = "\t".repeat(depth);
    match &node.value {
        Value::Flag(flag) => {
            let _ = write!(text, "{flag}");
        }
        // SWUpdate asks libconfig for 64 bits, which an unmarked number may not have.
        Value::Number(number) if i32::try_from(*number).is_err() => {
            let _ = write!(text, "{number}L");
        }
        Value::Number(number) => {
            let _ = write!(text, "{number}");
        }
        Value::Fraction(fraction) => {
            let _ = write!(text, "{fraction:?}");
        }
        Value::Text(value) => put_text(text, value),
        Value::Group(settings) => {
            text.push_str("{\n");
            for (name, node) in settings {
                put_setting(text, name, node, depth + 1);
            }
            let _ = write!(text, "{indent}}}");
        }
        Value::List(items) => {
            let groups = items
                .iter()
                .any(|item| matches!(item.value, Value::Group(_) | Value::List(_)));
            let (open, close) = if groups { ("(", ")") } else { ("[", "]") };
            text.push_str(open);
            for (index, item) in items.iter().enumerate() {
                text.push_str(if index == 0 { "" } else { ", " });
                put(text, item, depth);
            }
            text.push_str(close);
        }
    }
}

fn put_text(text: &mut String, value: &str) {
    text.push('"');
    for character in value.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            other => text.push(other),
        }
    }
    text.push('"');
}
