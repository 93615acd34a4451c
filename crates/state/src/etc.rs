//! The changes of `/etc`: one layer for each slot, and how they are carried over to a new image.
//!
//! A slot's `/etc` is that of its image, read-only, with a layer on the data partition above it (overlayfs). The first start
//! of a new image makes its layer by a three-way merge of files:
//!
//! - *base*: `/etc` of the image that the device's changes were made on, of which its layer keeps a copy;
//! - *mine*: what the device made of it;
//! - *theirs*: `/etc` of the new image.
//!
//! The old slot's layer stays as it is, so going back is going back in `/etc` too. The rules are those of [`merge()`].
//!
//! - [`layers`]: where the layers are, and how a new one comes to be.
//! - [`tree`]: what a directory holds.
//! - [`merge()`]: from three trees to changes and a report; no file is touched.
//! - [`lines`], [`accounts`]: texts in which both sides changed something.
//! - [`apply`]: the changes made.

pub mod accounts;
pub mod apply;
pub mod layers;
pub mod lines;
mod merge;
pub mod tree;

pub use layers::Layers;
pub use merge::{Change, Entry, Merged, Outcome, Report, SUFFIX, Side, Texts, merge};
