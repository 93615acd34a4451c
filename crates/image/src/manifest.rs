//! The manifest: what a product is, in TOML layers.
//!
//! - [`Manifest`] and its sections: the typed model. Each section's `Default` *is* the documented default.
//! - [`Loader`]: reads layers, includes and the board, merges them, and reports every problem with its line.
//! - [`Composition`]: the result, which still knows the layer that each value came from.
//! - [`effective`]: the whole manifest, defaults included, annotated with origins.
//! - [`schema`], [`reference`]: the JSON schema and the reference manual made from it.

mod effective;
mod layers;
mod merge;
mod model;
mod reference;
mod rules;

pub use effective::effective;
pub use layers::{Composition, Layer, LayerName, Loader};
pub use merge::merge;
pub use model::*;
pub use reference::reference;

use std::sync::OnceLock;

use crate::document;

/// The JSON schema of a manifest, draft 2020-12; the same bytes each time.
///
/// It describes the whole. A layer may leave required keys to the others, and its lists may hold `!item` and `!*`.
pub fn schema() -> &'static serde_json::Value {
    static SCHEMA: OnceLock<serde_json::Value> = OnceLock::new();
    SCHEMA.get_or_init(document::schema_of::<Manifest>)
}

#[cfg(test)]
mod tests;
