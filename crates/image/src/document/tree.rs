use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Diagnostic, Origin, SourceId, Sources};

/// A value together with where it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it was written; for a table that several layers fill, where it first appeared.
    pub origin: Origin,
}

/// What TOML can say.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Text.
    String(String),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction.
    Float(f64),
    /// `true` or `false`.
    Boolean(bool),
    /// A date, a time or both, as written.
    Datetime(String),
    /// `[a, b]` or `[[a]]`.
    List(Vec<Node>),
    /// `[a]` or `{ a = 1 }`.
    Table(BTreeMap<String, Entry>),
}

/// A key of a table with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Where the key was written.
    pub key: Origin,
    /// What it stands for.
    pub node: Node,
}

impl Node {
    /// The kind of the value, as a person would name it.
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::String(_) => "a string",
            Value::Integer(_) => "a whole number",
            Value::Float(_) => "a number",
            Value::Boolean(_) => "true or false",
            Value::Datetime(_) => "a date",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
        }
    }

    /// The node at a path of keys; list items are named by their index from 0.
    pub fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, step| match &node.value {
            Value::Table(entries) => entries.get(*step).map(|entry| &entry.node),
            Value::List(items) => items.get(step.parse::<usize>().ok()?),
            _ => None,
        })
    }

    /// Where the key of the last step of a path was written; for a list item, where the item was.
    pub fn key_at(&self, path: &[&str]) -> Option<&Origin> {
        let (last, parents) = path.split_last()?;
        match &self.at(parents)?.value {
            Value::Table(entries) => entries.get(*last).map(|entry| &entry.key),
            Value::List(items) => items.get(last.parse::<usize>().ok()?).map(|n| &n.origin),
            _ => None,
        }
    }

    /// The same value without origins.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::String(text) | Value::Datetime(text) => text.clone().into(),
            Value::Integer(number) => (*number).into(),
            Value::Float(number) => (*number).into(),
            Value::Boolean(value) => (*value).into(),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Table(entries) => entries
                .iter()
                .map(|(key, entry)| (key.clone(), entry.node.to_json()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }
}

/// Reads a text as TOML 1.1; every syntax error it has is reported, not only the first.
pub fn parse(sources: &Sources, source: SourceId) -> Result<Node, Vec<Diagnostic>> {
    let (table, errors) = DeTable::parse_recoverable(sources.text(source));
    let mut problems: Vec<Diagnostic> = errors
        .iter()
        .map(|error| {
            let message = error.message().trim().replace('\n', ", ");
            let diagnostic = Diagnostic::error(message);
            match error.span() {
                Some(span) => diagnostic.at(&Origin::new(source, span), ""),
                None => diagnostic,
            }
        })
        .collect();
    let span = table.span();
    let entries = convert_table(source, table.into_inner(), &mut problems);
    if problems.is_empty() {
        Ok(Node {
            value: Value::Table(entries),
            origin: Origin::new(source, span),
        })
    } else {
        Err(problems)
    }
}

fn convert_table(
    source: SourceId,
    table: DeTable<'_>,
    problems: &mut Vec<Diagnostic>,
) -> BTreeMap<String, Entry> {
    table
        .into_iter()
        .map(|(key, value)| {
            let origin = Origin::new(source, key.span());
            let node = convert(source, value, problems);
            (key.into_inner().into_owned(), Entry { key: origin, node })
        })
        .collect()
}

fn convert(source: SourceId, value: Spanned<DeValue<'_>>, problems: &mut Vec<Diagnostic>) -> Node {
    let origin = Origin::new(source, value.span());
    let mut bad_number = |text: &str| {
        problems.push(
            Diagnostic::error(format!("`{text}` is not a number that fits into 64 bits"))
                .at(&origin, ""),
        );
    };
    let value = match value.into_inner() {
        DeValue::String(text) => Value::String(text.into_owned()),
        DeValue::Integer(number) => {
            let parsed = i64::from_str_radix(number.as_str(), number.radix());
            Value::Integer(parsed.unwrap_or_else(|_| {
                bad_number(number.as_str());
                0
            }))
        }
        DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or_else(|_| {
            bad_number(number.as_str());
            0.0
        })),
        DeValue::Boolean(value) => Value::Boolean(value),
        DeValue::Datetime(value) => Value::Datetime(value.to_string()),
        DeValue::Array(items) => Value::List(
            items
                .into_iter()
                .map(|item| convert(source, item, problems))
                .collect(),
        ),
        DeValue::Table(table) => Value::Table(convert_table(source, table, problems)),
    };
    Node { value, origin }
}
