//! Update bundles: the `.swu` of SWUpdate, read as strictly as it is written.
//!
//! A bundle is a cpio archive: `sw-description`, its signature, then the members that it lists with their digests. Trust
//! flows in that order, so a bundle is read once, from front to back, without being kept: nothing is interpreted before the
//! signature over it was checked, and nothing that was read counts before its digest was.
//!
//! - [`Bundle`]: reads one, member by member; [`check`]: reads one to its end.
//! - [`Description`]: `sw-description` as types; [`document`]: its two syntaxes.
//! - [`signature`]: the CMS signature, made and verified, and whom to trust.
//! - [`crypt`]: the encryption of members.
//! - [`write()`]: makes a bundle; [`layout`]: describes one for the two slots of CIP's layout.
//!
//! Source: SWUpdate's documentation (“SWUpdate: syntax and tags with the default parser”, “Update images from verified
//! source”, “Symmetrically encrypted update images”) and its behaviour in 2022.12, 2024.12 and 2026.05, which are held
//! against this crate in `tests/`.

pub mod crypt;
pub mod description;
pub mod document;
mod error;
#[cfg(test)]
mod fixtures;
pub mod layout;
mod reader;
pub mod signature;
mod writer;

pub use description::Description;
pub use error::{Error, Refusal, Result};
pub use reader::{Bundle, Content, Contents, Item, Member, MemberContents, Stored, check};
pub use writer::{Artifact, Options, Written, WrittenMember, write};

/// Name of the first member.
const DESCRIPTION: &str = "sw-description";
/// Name of the second member.
const SIGNATURE: &str = "sw-description.sig";
