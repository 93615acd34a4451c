//! Whether a bundle is for this device: `hardware-compatibility`.
//!
//! An element is what the device is called, or `#RE:` and a POSIX extended regular expression that has to match somewhere in
//! it (SWUpdate's `hwid_match`, which calls `regcomp` with `REG_EXTENDED | REG_NOSUB`). The whole of IEEE Std 1003.1, 9.4 is
//! taken for ASCII; what the standard leaves undefined (`\d`, `a**`, `(|a)`) and back-references, which glibc would take, are
//! errors. Matching takes time proportional to the pattern's length times the name's, whatever the pattern.

mod pattern;
#[cfg(test)]
mod tests;

use crate::error::{Error, Result};
use pattern::Pattern;

/// What a pattern begins with.
const PREFIX: &str = "#RE:";

/// Whether `own` is among the hardware that a bundle offers to be for. Every pattern has to be one.
pub fn is_among(own: &str, offered: &[String]) -> Result<bool> {
    let mut found = false;
    for element in offered {
        found |= match element.strip_prefix(PREFIX) {
            None => element == own,
            Some(text) => Pattern::parse(text)
                .map_err(|reason| Error::Pattern {
                    pattern: text.to_owned(),
                    reason,
                })?
                .is_in(own),
        };
    }
    Ok(found)
}
