//! How the root file system comes: whole, or as the difference to what a device runs.
//!
//! The shape is that of isar-cip-core's template: the handler `roundrobin` hands on to the one that the property
//! `chainhandler` names, `rdiff_image` or `delta`, and tells that where the running slot is. SWUpdate checks neither what it
//! patches nor what comes out of an rdiff delta, so the images are named in properties of our own, which it passes over.
//!
//! | property | | |
//! |---|---|---|
//! | `chainhandler` | both | `rdiff_image`; `delta`, for zchunk |
//! | `url` | zchunk | address of the zchunk file, whose header is the member |
//! | `zckloglevel` | zchunk | `error` |
//! | `bedstone-base-size`, `bedstone-base-sha256` | rdiff | what the running slot must begin with |
//! | `bedstone-output-size`, `bedstone-output-sha256` | both | what comes out |
//!
//! The whole root file system may be there too, for devices to which the difference is of no use. It is then in the set and
//! mode of [`FULL`]: SWUpdate takes it when it is started with `--select bedstone,full`.

use std::collections::BTreeMap;

use bedstone_store::Digest;

use crate::description::{Entry, Property};

/// Set and mode of the whole root file system beside a difference.
pub const FULL: (&str, &str) = ("bedstone", "full");

const CHAIN: &str = "chainhandler";
const RDIFF: &str = "rdiff_image";
const ZCHUNK: &str = "delta";
const URL: &str = "url";
const BASE: [&str; 2] = ["bedstone-base-size", "bedstone-base-sha256"];
const OUTPUT: [&str; 2] = ["bedstone-output-size", "bedstone-output-sha256"];

/// How the root file system is carried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// Whole, in the member of this name.
    Full(String),
    /// As a difference.
    Delta {
        /// Name of the member.
        member: String,
        /// To what, and where the rest is.
        delta: Delta,
        /// Name of the member with the whole root file system, if there is one.
        full: Option<String>,
    },
}

/// A difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delta {
    /// The member is a delta of librsync.
    Rdiff {
        /// The one image that it applies to.
        base: Image,
        /// What comes out.
        output: Image,
    },
    /// The member is the header of a zchunk file.
    Zchunk {
        /// Where the file is.
        url: String,
        /// What comes out.
        output: Image,
    },
}

/// A root file system with its hash tree, by its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Image {
    /// Bytes.
    pub size: u64,
    /// Digest of these.
    pub sha256: Digest,
}

impl Delta {
    /// All properties that an entry of a difference may have for it.
    pub const PROPERTIES: [&str; 7] = [
        CHAIN,
        URL,
        "zckloglevel",
        BASE[0],
        BASE[1],
        OUTPUT[0],
        OUTPUT[1],
    ];

    /// What comes out.
    pub fn output(&self) -> Image {
        match self {
            Self::Rdiff { output, .. } | Self::Zchunk { output, .. } => *output,
        }
    }

    /// What the properties of `entry` say; none when its member is the content itself.
    ///
    /// The error is a reason for a person. It is one, too, when the digests are missing: nobody would notice a wrong image.
    pub fn of(entry: &Entry) -> Result<Option<Self>, String> {
        let Some(chain) = entry.properties.get(CHAIN) else {
            return Ok(None);
        };
        match chain {
            Property::One(chain) if chain == RDIFF => Ok(Some(Self::Rdiff {
                base: image(entry, BASE)?,
                output: image(entry, OUTPUT)?,
            })),
            Property::One(chain) if chain == ZCHUNK => Ok(Some(Self::Zchunk {
                url: one(entry, URL)?.to_owned(),
                output: image(entry, OUTPUT)?,
            })),
            Property::One(chain) => Err(format!("chain handler `{}`", chain.escape_debug())),
            Property::Many(_) => Err("more than one chain handler".to_owned()),
        }
    }

    pub(super) fn properties(&self) -> BTreeMap<String, Property> {
        let [size, sha256] = OUTPUT;
        let image = self.output();
        let mut pairs = vec![
            (size, image.size.to_string()),
            (sha256, image.sha256.to_string()),
        ];
        match self {
            Self::Rdiff { base, .. } => {
                let [size, sha256] = BASE;
                pairs.push((CHAIN, RDIFF.to_owned()));
                pairs.push((size, base.size.to_string()));
                pairs.push((sha256, base.sha256.to_string()));
            }
            Self::Zchunk { url, .. } => {
                pairs.push((CHAIN, ZCHUNK.to_owned()));
                pairs.push((URL, url.clone()));
                pairs.push(("zckloglevel", "error".to_owned()));
            }
        }
        pairs
            .into_iter()
            .map(|(name, value)| (name.to_owned(), Property::One(value)))
            .collect()
    }
}

fn image(entry: &Entry, [size, sha256]: [&str; 2]) -> Result<Image, String> {
    let wrong = |name| format!("property `{name}` of another form");
    Ok(Image {
        size: one(entry, size)?.parse().map_err(|_| wrong(size))?,
        sha256: one(entry, sha256)?.parse().map_err(|_| wrong(sha256))?,
    })
}

fn one<'a>(entry: &'a Entry, name: &str) -> Result<&'a str, String> {
    match entry.properties.get(name) {
        Some(Property::One(value)) => Ok(value),
        _ => Err(format!("a delta without the property `{name}`")),
    }
}
