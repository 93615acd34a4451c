use std::fmt::Write;

use serde_json::Value;

use super::schema;
use crate::document::check::{choices, resolve};
use crate::document::text;

const INTRODUCTION: &str = "\
# The manifest

> Generated from the types in `crates/image/src/manifest`; a test keeps it current. The same as JSON schema: `manifest.schema.json`.

A manifest is one or more TOML files, composed left to right: `product.toml:site.toml:@opt/development`.
A name that begins with `@` is a part of the catalogue that Bedstone carries.

- **Tables** merge key by key; **single values** are replaced by the later layer.
- **Lists** append. `\"!item\"` takes away what an earlier layer listed, `\"!*\"` all of it. An item listed twice counts once.
- `include = [\"base.toml\"]` reads other layers first, relative to the file; `board = \"qemu-amd64\"` reads the board's layer before all others.
  A layer named twice counts once, at its first place.
- Paths of the build machine are relative to the file that names them.
- An unknown key, a value of the wrong kind and a `!item` that takes nothing away are errors, shown with their line; all of them at once.

Everything that is not said has the default shown here.
";

/// The reference manual of the manifest in Markdown, made from the schema.
pub fn reference() -> String {
    let root = schema();
    let mut out = INTRODUCTION.to_owned();
    out.push_str("\n## Top level\n\n");
    table(root, root, &mut out, |schema| is_table(root, schema));
    if let Some(properties) = root.get("properties").and_then(Value::as_object) {
        for (key, schema) in properties {
            if is_table(root, schema) {
                section(root, key, schema, &mut out);
            }
        }
    }
    out
}

fn is_table(root: &Value, schema: &Value) -> bool {
    let resolved = resolve(root, schema);
    resolved.get("type").and_then(Value::as_str) == Some("object")
        && (resolved.get("properties").is_some() || schema.get("additionalProperties").is_some())
}

fn section(root: &Value, path: &str, schema: &Value, out: &mut String) {
    let description = description(root, schema);
    if let Some(of) = schema
        .get("additionalProperties")
        .filter(|of| of.is_object())
    {
        let key = schema
            .get("propertyNames")
            .and_then(|names| names.get("format"))
            .and_then(Value::as_str)
            .and_then(text::describe)
            .unwrap_or("a name");
        if is_table(root, of) {
            let _ = write!(
                out,
                "\n## `[{path}.KEY]`\n\n{description}\n\nKEY is {key}.\n\n"
            );
            body(root, &format!("{path}.KEY"), of, out);
        } else {
            let of = kind(root, of);
            let _ = write!(
                out,
                "\n## `[{path}]`\n\n{description}\n\nEach key is {key}; its value is {of}.\n"
            );
        }
        return;
    }
    let _ = write!(out, "\n## `[{path}]`\n\n{description}\n\n");
    body(root, path, schema, out);
}

fn body(root: &Value, path: &str, schema: &Value, out: &mut String) {
    let resolved = resolve(root, schema);
    table(root, resolved, out, |schema| is_table(root, schema));
    if let Some(properties) = resolved.get("properties").and_then(Value::as_object) {
        for (key, schema) in properties {
            if is_table(root, schema) {
                section(root, &format!("{path}.{key}"), schema, out);
            }
        }
    }
}

fn table(root: &Value, schema: &Value, out: &mut String, skip: impl Fn(&Value) -> bool) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return;
    };
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    out.push_str("| key | value | default | meaning |\n|---|---|---|---|\n");
    for (key, property) in properties {
        if skip(property) {
            continue;
        }
        let default = match property.get("default") {
            _ if required.contains(&key.as_str()) => "required".to_owned(),
            Some(default) => format!("`{default}`"),
            None => "–".to_owned(),
        };
        let _ = writeln!(
            out,
            "| `{key}` | {} | {default} | {} |",
            kind(root, property),
            description(root, property).replace('|', "\\|")
        );
    }
}

fn kind(root: &Value, schema: &Value) -> String {
    let resolved = resolve(root, schema);
    if let Some(choices) = choices(root, schema) {
        let listed: Vec<String> = choices.iter().map(|c| format!("`\"{c}\"`")).collect();
        return listed.join(", ");
    }
    if let Some(alternatives) = resolved
        .get("anyOf")
        .or_else(|| resolved.get("oneOf"))
        .and_then(Value::as_array)
    {
        let kinds: Vec<String> = alternatives.iter().map(|a| kind(root, a)).collect();
        return kinds.join(" or ");
    }
    match resolved.get("type").and_then(Value::as_str) {
        Some("array") => resolved.get("items").map_or("a list".to_owned(), |of| {
            format!("a list; each item {}", kind(root, of))
        }),
        Some("boolean") => "`true` or `false`".to_owned(),
        Some("integer") => match (resolved.get("minimum"), resolved.get("maximum")) {
            (Some(low), Some(high)) => format!("a whole number from {low} to {high}"),
            _ => "a whole number".to_owned(),
        },
        Some("string") => resolved
            .get("format")
            .and_then(Value::as_str)
            .and_then(text::describe)
            .unwrap_or("text")
            .to_owned(),
        _ => "a value".to_owned(),
    }
}

fn description(root: &Value, schema: &Value) -> String {
    schema
        .get("description")
        .or_else(|| resolve(root, schema).get("description"))
        .and_then(Value::as_str)
        .unwrap_or("")
        .replace('\n', " ")
}
