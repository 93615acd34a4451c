//! TOML documents that people write: read with positions, checked against a schema, decoded into types.
//!
//! Manifests, profiles and hardening baselines all go through here, so that every one of them gets the same treatment:
//! all problems at once, each with file, line, column and the line shown.
//!
//! - [`Sources`], [`Origin`]: the texts, and where in them a value was written.
//! - [`Node`]: a value with its origin; [`parse`] makes it from text.
//! - [`Diagnostic`], [`Problems`]: what is wrong with a document, as data; [`render`] turns it into text.
//! - [`check`]: holds a tree against a JSON schema made by [`schema_of`].
//! - [`text`]: validated strings such as package names, sizes and absolute paths.

pub mod check;
mod diagnostic;
mod render;
mod schema;
mod source;
mod suggest;
pub mod text;
mod tree;

pub use diagnostic::{Diagnostic, Label, Problems, Severity};
pub use render::{Style, render};
pub use schema::schema_of;
pub use source::{Origin, Position, SourceId, Sources};
pub use suggest::nearest;
pub use tree::{Entry, Node, Value, parse};

use serde::de::DeserializeOwned;

/// Decodes one self-contained document: parse, check against `schema`, decode.
pub fn decode<T: DeserializeOwned>(
    sources: &Sources,
    source: SourceId,
    schema: &serde_json::Value,
) -> Result<(T, Node), Vec<Diagnostic>> {
    let root = parse(sources, source)?;
    let problems = check::check(&root, schema, check::Scope::Whole);
    if !problems.is_empty() {
        return Err(problems);
    }
    let value = serde_json::from_value(root.to_json())
        .map_err(|error| vec![Diagnostic::error(error.to_string()).at(&root.origin, "")])?;
    Ok((value, root))
}

#[cfg(test)]
mod tests;
