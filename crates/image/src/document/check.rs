//! Holds a tree against the JSON schema of its type and reports everything that is wrong with it.
//!
//! Only the part of JSON schema that [`super::schema_of`] produces is understood: `type`, `properties`, `required`,
//! `additionalProperties`, `propertyNames`, `items`, `enum`, `const`, `oneOf`/`anyOf` told apart by kind, `minimum`, `maximum`,
//! `format` (the names of [`super::text`]) and `$ref`.

use std::collections::BTreeMap;

use serde_json::Value as Schema;

use super::{Diagnostic, Entry, Node, Value, nearest, text};

/// Whether what is absent matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// One layer of several: it need not say everything, and lists may hold `!item` and `!*`.
    Layer,
    /// The whole: required keys must be there.
    Whole,
}

/// Everything in `root` that `schema` does not allow.
pub fn check(root: &Node, schema: &Schema, scope: Scope) -> Vec<Diagnostic> {
    let mut checker = Checker {
        root: schema,
        scope,
        problems: Vec::new(),
    };
    checker.node(root, schema, &mut Vec::new());
    checker.problems
}

/// Calls `visit` for every string whose schema names a format, so that its value can be rewritten in place.
pub fn visit_strings(
    node: &mut Node,
    schema: &Schema,
    visit: &mut impl FnMut(&str, &super::Origin, &mut String),
) {
    visit_inner(node, schema, schema, visit);
}

fn visit_inner(
    node: &mut Node,
    root: &Schema,
    schema: &Schema,
    visit: &mut impl FnMut(&str, &super::Origin, &mut String),
) {
    let Ok(schema) = branch(root, schema, node) else {
        return;
    };
    match &mut node.value {
        Value::String(value) => {
            if let Some(format) = schema.get("format").and_then(Schema::as_str) {
                visit(format, &node.origin, value);
            }
        }
        Value::List(items) => {
            if let Some(of) = schema.get("items") {
                for item in items {
                    visit_inner(item, root, of, visit);
                }
            }
        }
        Value::Table(entries) => {
            for (key, entry) in entries {
                if let Some(of) = property(schema, key) {
                    visit_inner(&mut entry.node, root, of, visit);
                }
            }
        }
        _ => {}
    }
}

/// The schema of a key of a table.
fn property<'s>(schema: &'s Schema, key: &str) -> Option<&'s Schema> {
    schema
        .get("properties")
        .and_then(|properties| properties.get(key))
        .or_else(|| {
            schema
                .get("additionalProperties")
                .filter(|additional| additional.is_object())
        })
}

/// Follows `$ref`.
pub(crate) fn resolve<'s>(root: &'s Schema, schema: &'s Schema) -> &'s Schema {
    let mut schema = schema;
    // A chain of references longer than this would be a cycle, which schemars does not make.
    for _ in 0..16 {
        let Some(name) = schema
            .get("$ref")
            .and_then(Schema::as_str)
            .and_then(|reference| reference.strip_prefix("#/$defs/"))
        else {
            break;
        };
        match root.get("$defs").and_then(|defs| defs.get(name)) {
            Some(definition) => schema = definition,
            None => break,
        }
    }
    schema
}

/// Follows `$ref` and picks the alternative that fits the node's kind; fails with the kinds that would fit.
fn branch<'s>(
    root: &'s Schema,
    schema: &'s Schema,
    node: &Node,
) -> Result<&'s Schema, Vec<&'static str>> {
    let schema = resolve(root, schema);
    let alternatives = schema
        .get("oneOf")
        .or_else(|| schema.get("anyOf"))
        .and_then(Schema::as_array)
        .filter(|_| choices(root, schema).is_none());
    match alternatives {
        Some(alternatives) => {
            let mut kinds = Vec::new();
            for alternative in alternatives {
                match branch(root, alternative, node) {
                    Ok(found) => return Ok(found),
                    Err(more) => kinds.extend(more),
                }
            }
            Err(kinds)
        }
        None if kind_fits(root, schema, node) => Ok(schema),
        None => Err(vec![kind_name(root, schema)]),
    }
}

/// The words that an enumeration allows, with or without a description each.
pub(crate) fn choices<'s>(root: &'s Schema, schema: &'s Schema) -> Option<Vec<&'s str>> {
    let schema = resolve(root, schema);
    if let Some(values) = schema.get("enum").and_then(Schema::as_array) {
        return values.iter().map(Schema::as_str).collect();
    }
    if let Some(value) = schema.get("const") {
        return value.as_str().map(|value| vec![value]);
    }
    let alternatives = schema.get("oneOf").and_then(Schema::as_array)?;
    let mut all = Vec::new();
    for alternative in alternatives {
        all.extend(choices(root, alternative)?);
    }
    Some(all)
}

fn kind_fits(root: &Schema, schema: &Schema, node: &Node) -> bool {
    if choices(root, schema).is_some() {
        return matches!(node.value, Value::String(_));
    }
    match schema.get("type").and_then(Schema::as_str) {
        Some("string") => matches!(node.value, Value::String(_)),
        Some("integer") => matches!(node.value, Value::Integer(_)),
        Some("number") => matches!(node.value, Value::Integer(_) | Value::Float(_)),
        Some("boolean") => matches!(node.value, Value::Boolean(_)),
        Some("array") => matches!(node.value, Value::List(_)),
        Some("object") => matches!(node.value, Value::Table(_)),
        _ => true,
    }
}

fn kind_name(root: &Schema, schema: &Schema) -> &'static str {
    if choices(root, schema).is_some() {
        return "a string";
    }
    match schema.get("type").and_then(Schema::as_str) {
        Some("integer") => "a whole number",
        Some("number") => "a number",
        Some("boolean") => "true or false",
        Some("array") => "a list",
        Some("object") => "a table",
        _ => "a string",
    }
}

struct Checker<'s> {
    root: &'s Schema,
    scope: Scope,
    problems: Vec<Diagnostic>,
}

impl<'s> Checker<'s> {
    fn node(&mut self, node: &Node, schema: &'s Schema, path: &mut Vec<String>) {
        let schema = match branch(self.root, schema, node) {
            Ok(schema) => schema,
            Err(mut kinds) => {
                kinds.sort_unstable();
                kinds.dedup();
                let expected = kinds.join(" or ");
                self.problems.push(
                    Diagnostic::error(format!(
                        "{} must be {expected}, not {}",
                        dotted(path),
                        node.kind()
                    ))
                    .at(&node.origin, format!("expected {expected}")),
                );
                return;
            }
        };
        match &node.value {
            Value::Table(entries) => self.table(node, entries, schema, path),
            Value::List(items) => self.list(items, schema, path),
            Value::String(value) => self.string(node, value, schema, path),
            Value::Integer(number) => self.integer(node, *number, schema, path),
            Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => {}
        }
    }

    fn table(
        &mut self,
        node: &Node,
        entries: &BTreeMap<String, Entry>,
        schema: &'s Schema,
        path: &mut Vec<String>,
    ) {
        let known = schema.get("properties").and_then(Schema::as_object);
        for (key, entry) in entries {
            let Some(of) = property(schema, key) else {
                self.unknown(key, entry, entries, known, path);
                continue;
            };
            if let Some(format) = schema
                .get("propertyNames")
                .and_then(|names| names.get("format"))
                .and_then(Schema::as_str)
                && let Err(why) = text::check(format, key)
            {
                self.problems.push(
                    Diagnostic::error(format!(
                        "`{key}` cannot stand under {}: {why}",
                        dotted(path)
                    ))
                    .at(&entry.key, ""),
                );
            }
            path.push(key.clone());
            self.node(&entry.node, of, path);
            path.pop();
        }
        if self.scope == Scope::Whole
            && let Some(required) = schema.get("required").and_then(Schema::as_array)
        {
            for key in required.iter().filter_map(Schema::as_str) {
                if !entries.contains_key(key) {
                    self.problems.push(
                        Diagnostic::error(format!("{} is missing", dotted_with(path, key)))
                            .at(&node.origin, format!("`{key}` belongs here")),
                    );
                }
            }
        }
    }

    fn unknown(
        &mut self,
        key: &str,
        entry: &Entry,
        entries: &BTreeMap<String, Entry>,
        known: Option<&'s serde_json::Map<String, Schema>>,
        path: &[String],
    ) {
        let place = if path.is_empty() {
            "at the top level".to_owned()
        } else {
            format!("in {}", dotted(path))
        };
        let mut diagnostic = Diagnostic::error(format!("unknown key `{key}` {place}"))
            .at(&entry.key, "not known here");
        let names: Vec<&str> = known
            .into_iter()
            .flat_map(|known| known.keys().map(String::as_str))
            .collect();
        if let Some(meant) = nearest(key, names.iter().copied()) {
            diagnostic = diagnostic.help(format!("did you mean `{meant}`?"));
        } else if let Some(elsewhere) = self.elsewhere(key) {
            diagnostic = diagnostic.help(format!("`{key}` belongs to `[{elsewhere}]`"));
        } else if !names.is_empty() {
            let unused: Vec<String> = names
                .iter()
                .filter(|name| !entries.contains_key(**name))
                .map(|name| format!("`{name}`"))
                .collect();
            diagnostic = diagnostic.help(format!("known keys: {}", unused.join(", ")));
        }
        self.problems.push(diagnostic);
    }

    /// The top-level table that does know the key, for keys that slipped out of or into a section.
    fn elsewhere(&self, key: &str) -> Option<&'s str> {
        self.root
            .get("properties")?
            .as_object()?
            .iter()
            .find(|(_, schema)| {
                resolve(self.root, schema)
                    .get("properties")
                    .and_then(|properties| properties.get(key))
                    .is_some()
            })
            .map(|(name, _)| name.as_str())
    }

    fn list(&mut self, items: &[Node], schema: &'s Schema, path: &mut Vec<String>) {
        let Some(of) = schema.get("items") else {
            return;
        };
        for (index, item) in items.iter().enumerate() {
            path.push(index.to_string());
            match &item.value {
                // `!item` takes an earlier layer's item away, so what follows the mark is an item itself.
                Value::String(value) if self.scope == Scope::Layer && value.starts_with('!') => {
                    if value != "!*" {
                        let bare = Node {
                            value: Value::String(value[1..].to_owned()),
                            origin: item.origin.clone(),
                        };
                        self.node(&bare, of, path);
                    }
                }
                _ => self.node(item, of, path),
            }
            path.pop();
        }
    }

    fn string(&mut self, node: &Node, value: &str, schema: &'s Schema, path: &[String]) {
        if let Some(choices) = choices(self.root, schema) {
            if !choices.contains(&value) {
                let listed: Vec<String> = choices.iter().map(|c| format!("`{c}`")).collect();
                let mut diagnostic = Diagnostic::error(format!(
                    "{} cannot be `{value}`: it is one of {}",
                    dotted(path),
                    listed.join(", ")
                ))
                .at(&node.origin, "");
                if let Some(meant) = nearest(value, choices) {
                    diagnostic = diagnostic.help(format!("did you mean `{meant}`?"));
                }
                self.problems.push(diagnostic);
            }
        } else if let Some(format) = schema.get("format").and_then(Schema::as_str)
            && let Err(why) = text::check(format, value)
        {
            self.problems
                .push(Diagnostic::error(format!("{}: {why}", dotted(path))).at(&node.origin, ""));
        }
    }

    fn integer(&mut self, node: &Node, number: i64, schema: &'s Schema, path: &[String]) {
        let bound = |name: &str| schema.get(name).and_then(Schema::as_i64);
        let low = bound("minimum");
        let high = bound("maximum");
        if low.is_some_and(|low| number < low) || high.is_some_and(|high| number > high) {
            let range = match (low, high) {
                (Some(low), Some(high)) => format!("between {low} and {high}"),
                (Some(low), None) => format!("at least {low}"),
                (None, Some(high)) => format!("at most {high}"),
                (None, None) => String::new(),
            };
            self.problems.push(
                Diagnostic::error(format!("{} must be {range}, not {number}", dotted(path)))
                    .at(&node.origin, ""),
            );
        }
    }
}

/// A path of keys as TOML writes it, in backticks; list indexes are left out because the line is shown anyway.
fn dotted(path: &[String]) -> String {
    let mut out = String::from("`");
    let mut first = true;
    for step in path {
        if step.bytes().all(|b| b.is_ascii_digit()) {
            continue;
        }
        if !first {
            out.push('.');
        }
        first = false;
        let bare = step
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if bare {
            out.push_str(step);
        } else {
            out.push('"');
            out.push_str(step);
            out.push('"');
        }
    }
    out.push('`');
    if first {
        "the document".to_owned()
    } else {
        out
    }
}

fn dotted_with(path: &[String], key: &str) -> String {
    let mut path = path.to_vec();
    path.push(key.to_owned());
    dotted(&path)
}
