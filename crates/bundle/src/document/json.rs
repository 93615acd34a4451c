//! JSON (RFC 8259), with lines.

use std::fmt::Write as _;

use super::cursor::Cursor;
use super::{Node, Value, add};
use crate::error::Result;

pub(super) fn parse(text: &str) -> Result<Node> {
    let mut cursor = Cursor::new(text);
    skip(&mut cursor);
    let node = value(&mut cursor)?;
    skip(&mut cursor);
    match cursor.peek() {
        None => Ok(node),
        Some(_) => Err(cursor.expected("the end")),
    }
}

fn value(cursor: &mut Cursor<'_>) -> Result<Node> {
    let line = cursor.line();
    let value = match cursor.peek() {
        Some('{') => group(cursor)?,
        Some('[') => list(cursor)?,
        Some('"') => Value::Text(text(cursor)?),
        _ if cursor.eat("true") => Value::Flag(true),
        _ if cursor.eat("false") => Value::Flag(false),
        _ => number(cursor)?,
    };
    Ok(Node { line, value })
}

fn group(cursor: &mut Cursor<'_>) -> Result<Value> {
    cursor.next();
    cursor.descend()?;
    let mut members = Vec::new();
    skip(cursor);
    if !cursor.eat("}") {
        loop {
            skip(cursor);
            if cursor.peek() != Some('"') {
                return Err(cursor.expected("a name"));
            }
            let name = text(cursor)?;
            skip(cursor);
            if !cursor.eat(":") {
                return Err(cursor.expected("`:`"));
            }
            skip(cursor);
            let node = value(cursor)?;
            add(&mut members, name, node)?;
            skip(cursor);
            if cursor.eat("}") {
                break;
            }
            if !cursor.eat(",") {
                return Err(cursor.expected("`,` or `}`"));
            }
        }
    }
    cursor.ascend();
    Ok(Value::Group(members))
}

fn list(cursor: &mut Cursor<'_>) -> Result<Value> {
    cursor.next();
    cursor.descend()?;
    let mut items = Vec::new();
    skip(cursor);
    if !cursor.eat("]") {
        loop {
            skip(cursor);
            items.push(value(cursor)?);
            skip(cursor);
            if cursor.eat("]") {
                break;
            }
            if !cursor.eat(",") {
                return Err(cursor.expected("`,` or `]`"));
            }
        }
    }
    cursor.ascend();
    Ok(Value::List(items))
}

fn text(cursor: &mut Cursor<'_>) -> Result<String> {
    let line = cursor.line();
    cursor.next();
    let mut text = String::new();
    loop {
        match cursor.next() {
            None => return Err(super::fault(line, "a string does not end")),
            Some('"') => return Ok(text),
            Some('\\') => text.push(escape(cursor)?),
            Some(character) if character < ' ' => {
                return Err(cursor.fault("a string has a control character"));
            }
            Some(character) => text.push(character),
        }
    }
}

fn escape(cursor: &mut Cursor<'_>) -> Result<char> {
    let fault = cursor.fault("an escape that JSON does not know");
    Ok(match cursor.next() {
        Some(same @ ('"' | '\\' | '/')) => same,
        Some('b') => '\x08',
        Some('f') => '\x0c',
        Some('n') => '\n',
        Some('r') => '\r',
        Some('t') => '\t',
        Some('u') => {
            let first = unit(cursor)?;
            let code = if (0xd800..0xdc00).contains(&first) {
                if !cursor.eat("\\u") {
                    return Err(fault);
                }
                let second = unit(cursor)?;
                if !(0xdc00..0xe000).contains(&second) {
                    return Err(fault);
                }
                0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
            } else {
                first
            };
            // A NUL would end the text for SWUpdate.
            char::from_u32(code)
                .filter(|character| *character != '\0')
                .ok_or(fault)?
        }
        _ => return Err(fault),
    })
}

/// Four hexadecimal digits.
fn unit(cursor: &mut Cursor<'_>) -> Result<u32> {
    let digits = cursor.rest().get(..4).unwrap_or("");
    let hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    match u32::from_str_radix(digits, 16) {
        Ok(unit) if hexadecimal => {
            cursor.advance(4);
            Ok(unit)
        }
        _ => Err(cursor.expected("four hexadecimal digits")),
    }
}

fn number(cursor: &mut Cursor<'_>) -> Result<Value> {
    let fault = cursor.expected("a value");
    let word = cursor.take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    let digits = word.strip_prefix('-').unwrap_or(word);
    let ordinary = digits.starts_with(|c: char| c.is_ascii_digit())
        && (digits.len() == 1 || !digits.starts_with('0') || digits.starts_with("0."));
    if !ordinary {
        return Err(fault);
    }
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return word.parse().map(Value::Number).map_err(|_| fault);
    }
    let inner = digits
        .bytes()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'));
    match word.parse::<f64>() {
        Ok(fraction) if inner && fraction.is_finite() && !word.ends_with('.') => {
            Ok(Value::Fraction(fraction))
        }
        _ => Err(fault),
    }
}

fn skip(cursor: &mut Cursor<'_>) {
    cursor.take_while(|c| matches!(c, ' ' | '\t' | '\n' | '\r'));
}

/// Writes a value as JSON, indented.
pub fn to_json(root: &Node) -> String {
    let mut text = String::new();
    put(&mut text, root, 0);
    text.push('\n');
    text
}

fn put(text: &mut String, node: &Node, depth: usize) {
    let indent = "\t".repeat(depth);
    match &node.value {
        Value::Flag(flag) => {
            let _ = write!(text, "{flag}");
        }
        Value::Number(number) => {
            let _ = write!(text, "{number}");
        }
        Value::Fraction(fraction) => {
            let _ = write!(text, "{fraction:?}");
        }
        Value::Text(value) => put_text(text, value),
        Value::Group(members) => {
            text.push('{');
            for (index, (name, node)) in members.iter().enumerate() {
                text.push_str(if index == 0 { "\n" } else { ",\n" });
                let _ = write!(text, "{indent}\t");
                put_text(text, name);
                text.push_str(": ");
                put(text, node, depth + 1);
            }
            let _ = write!(text, "\n{indent}}}");
        }
        Value::List(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                text.push_str(if index == 0 { "" } else { ", " });
                put(text, item, depth);
            }
            text.push(']');
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
