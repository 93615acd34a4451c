//! QEMU's image format qcow2, version 3: images without their zeros, and overlays over other images.
//!
//! Clusters are 64 KiB, all numbers big-endian:
//!
//! ```text
//! cluster 0        header, extensions, name of the backing file
//! ...              data clusters in the order of the disk
//! ...              L2 tables, L1 table, refcount blocks, refcount table
//! ```
//!
//! Source: QEMU `docs/interop/qcow2.txt`.

mod header;
mod write;

#[cfg(test)]
mod tests;

pub use header::{Backing, BackingFormat, Header};
pub use write::{convert, overlay};

const FORMAT: &str = "qcow2 image";
const CLUSTER_BITS: u32 = 16;
const CLUSTER: u64 = 1 << CLUSTER_BITS;
/// Set in table entries that name a cluster which nothing else refers to.
const COPIED: u64 = 1 << 63;
